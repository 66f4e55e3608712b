"""Preconditioning a matrix on one side only, the shorter one: half of Shampoo, at half of its roots and less memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import factor, mean, probe, square, total, transform
from .axes import Keeps
from .shampoo import preconditioned, statistics


def _shorter(side: int, is_short: bool) -> Keeps:
    """Whether this side (0: rows, 1: columns) is the one that is preconditioned, and short enough for a full factor."""
    return lambda m, n, hyper: side == int(m >= n) and (min(m, n) <= hyper["max_precond_dim"]) is is_short


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("inner",),
    L=factor("m m", when=_shorter(0, True)),
    R=factor("n n", when=_shorter(1, True)),
    L_root=factor("m m", eye=1.0, when=_shorter(0, True)),
    R_root=factor("n n", eye=1.0, when=_shorter(1, True)),
    L_diagonal=square("m", when=_shorter(0, False)),
    R_diagonal=square("n", when=_shorter(1, False)),
    recovered=probe,
)
def scale_by_asgo(
    g: Tensor, inner: Any, L: Tensor | None, R: Tensor | None, L_root: Tensor | None, R_root: Tensor | None,
    L_diagonal: Tensor | None, R_diagonal: Tensor | None, recovered: Tensor | None, *,
    beta2: float, eps: float, max_precond_dim: int = 8192, refresh: bool = True,
) -> Any:  # fmt: skip
    """L ← β₂L + (1-β₂)ggᵀ;  u = (L + εI)^(-1/2) inner(g): for m < n, else R and from the right.

    β₂ = 1: sums, as in the paper's algorithm 1. The root is taken anew in the steps where ``refresh`` holds. A shorter
    side longer than ``max_precond_dim`` keeps its diagonal only. What is not finite is met as in
    :func:`scale_by_shampoo`.

    Reference: "ASGO: Adaptive Structured Gradient Optimization", Kang An, Yuxing Liu, Rui Pan, Yi Ren, Shiqian Ma,
    Donald Goldfarb, Tong Zhang, 2025, https://arxiv.org/abs/2503.20762
    """
    kept = statistics(g, (L, R, L_diagonal, R_diagonal), beta2)
    u, left, right, bad = preconditioned(inner(g), kept, (L_root, R_root), 1.0, eps, (0.5, 0.5), refresh)
    L, R, L_diagonal, R_diagonal = kept
    return u, L, R, left, right, L_diagonal, R_diagonal, bad


@transform(
    invariant=("sign",),
    holds=("inner",),
    sums={"squares": total(lambda u: u.square(), over="col")},
    col_avg_sq=square("n"),
)
def scale_by_dasgo(
    g: Tensor, inner: Any, squares: Tensor, col_avg_sq: Tensor, *, beta2: float, eps: float
) -> Any:
    """v ← β₂v + (1-β₂) Σᵢ gᵢⱼ²;  u = inner(g) / √(v + ε): one rate for a column, ASGO's diagonal.

    Reference: "ASGO: Adaptive Structured Gradient Optimization", Kang An, Yuxing Liu, Rui Pan, Yi Ren, Shiqian Ma,
    Donald Goldfarb, Tong Zhang, 2025, https://arxiv.org/abs/2503.20762
    """
    v = col_avg_sq.lerp(squares, 1 - beta2)
    return inner(g) / (v + eps).sqrt(), v


@transform(
    invariant=("sign", "scale", "transpose"), sums={"mean_sq": mean(lambda u: u.square())}, normalizes=True
)
def set_rms(u: Tensor, mean_sq: Tensor, *, rms: float = 0.2) -> Tensor:
    """u · rms / √(mean u²): an update of one size, 0.2 being about AdamW's, so that AdamW's rates carry over.

    Reference: "Muon is Scalable for LLM Training", Jingyuan Liu et al., 2025, https://arxiv.org/abs/2502.16982
    """
    return u * (rms / (mean_sq.sqrt() + 1e-30))
