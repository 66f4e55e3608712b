"""Preconditioning a matrix on both sides by inverse roots of statistics of its rows and columns: Shampoo's kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import factor, probe, square, transform
from ..linalg.products import gram_added
from ..linalg.roots import inverse_root
from ._numbers import where
from .axes import axes, long, short

SLOTS: dict[str, Any] = {
    "L": factor("m m", when=short(0)),
    "R": factor("n n", when=short(1)),
    "L_root": factor("m m", eye=1.0, when=short(0)),
    "R_root": factor("n n", eye=1.0, when=short(1)),
    "L_diagonal": square("m", when=long(0)),
    "R_diagonal": square("n", when=long(1)),
    "recovered": probe,
}


def finite(g: Tensor) -> Tensor:
    """Whether the entries of a matrix are finite and their squares too, as [1, 1]."""
    return torch.linalg.vector_norm(g, dim=(-2, -1), keepdim=True).square().isfinite()


def sane(new: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """The new root, but the last one where it is not finite; and whether it is."""
    # one number shows it: a sum of squares is not finite if an entry is not
    good = finite(new)
    return torch.where(good, new, old), good


def _gathered(step: Any, beta2: Any) -> Any:
    """The weight that statistics have gathered: 1 - β₂ᵗ of an average, 1 of a sum."""
    return where(beta2 < 1, 1 - beta2**step, 1.0)


def statistics(g: Tensor, kept: tuple[Tensor | None, ...], beta2: Any) -> list[Tensor | None]:
    """L, R and the diagonals with this gradient's part; a gradient that is not finite has none."""
    L, R, L_diagonal, R_diagonal = kept
    g = torch.where(finite(g), g, 0.0)
    weight = where(beta2 < 1, 1 - beta2, 1.0)
    factors = [None if h is None else gram_added(h, x, beta2, weight) for h, x in ((L, g), (R, g.mT))]
    diagonals = [
        None if d is None else beta2 * d + weight * g.square().sum(dim, keepdim=True)
        for d, dim in ((L_diagonal, -1), (R_diagonal, -2))
    ]
    return [*factors, *diagonals]


def preconditioned(
    u: Tensor, kept: list[Tensor | None], roots: tuple[Tensor | None, Tensor | None], gathered: Any, eps: Any,
    exponents: tuple[Any, Any], refresh: bool,
) -> tuple[Tensor, Any, Any, Tensor]:  # fmt: skip
    """L^(-a) u R^(-a), the new roots, and the share of them that had to be recovered."""
    *factors, L_diagonal, R_diagonal = kept
    exponent = exponents[1] if sum(axes(*u.shape[-2:])) == 2 else exponents[0]
    new, bad = list(roots), torch.zeros((), dtype=u.dtype, device=u.device)
    for i, (h, old) in enumerate(zip(factors, roots, strict=True)) if refresh else ():
        if h is not None and old is not None:
            even = h if not isinstance(gathered, Tensor) and gathered == 1.0 else h / gathered
            new[i], good = sane(inverse_root(even, 1 / exponent, eps), old)
            bad = bad + (1.0 - good.to(u.dtype).mean()) / sum(x is not None for x in factors)
    left, right = new
    u = u if left is None else left @ u
    u = u if right is None else u @ right
    for d in (L_diagonal, R_diagonal):
        u = u if d is None else u * (d / gathered + eps) ** (-exponent)
    return u, left, right, bad


@transform(invariant=("sign",), scope="tensor", holds=("inner",), **SLOTS)
def scale_by_shampoo(
    g: Tensor, step: Any, inner: Any, L: Tensor | None, R: Tensor | None, L_root: Tensor | None,
    R_root: Tensor | None, L_diagonal: Tensor | None, R_diagonal: Tensor | None, recovered: Tensor | None, *,
    eps: float, max_precond_dim: int, refresh: bool = True, beta2: float = 1.0, vector: float = 0.5,
    matrix: float = 0.25,
) -> Any:  # fmt: skip
    """L ← L + ggᵀ;  R ← R + gᵀg;  u = (L + εI)^(-1/2k) inner(g) (R + εI)^(-1/2k), k the number of factors.

    ``inner`` is what is preconditioned (the gradient's average, say), while the statistics see g itself. With β₂ < 1
    they are averages, L ← β₂L + (1-β₂)ggᵀ, and L/(1-β₂ᵗ) is what a root is taken of. The exponents are ``matrix`` where
    there are two factors and ``vector`` where there is one. The roots are taken anew in the steps where ``refresh``
    holds. An axis longer than ``max_precond_dim`` keeps its diagonal only.

    A gradient that is not finite adds nothing to the statistics, and a root that would not be finite stays what it was,
    the identity at first; ``recovered`` counts the latter for ``opt.metrics()``.

    Reference: "Shampoo: Preconditioned Stochastic Tensor Optimization", Vineet Gupta, Tomer Koren, Yoram Singer, 2018,
    https://arxiv.org/abs/1802.09568
    """
    kept = statistics(g, (L, R, L_diagonal, R_diagonal), beta2)
    u, left, right, bad = preconditioned(
        inner(g), kept, (L_root, R_root), _gathered(step, beta2), eps, (vector, matrix), refresh
    )
    L, R, L_diagonal, R_diagonal = kept
    return u, L, R, left, right, L_diagonal, R_diagonal, bad


@transform(invariant=("sign",), scope="tensor", **SLOTS)
def precondition(
    u: Tensor, grad: Tensor, step: Any, L: Tensor | None, R: Tensor | None, L_root: Tensor | None,
    R_root: Tensor | None, L_diagonal: Tensor | None, R_diagonal: Tensor | None, recovered: Tensor | None, *,
    eps: float, max_precond_dim: int, refresh: bool = True, beta2: float = 1.0, vector: float = 0.5,
    matrix: float = 0.25, correct_bias: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scale_by_shampoo`, of any update u, with statistics of ``grad``: to be held by :func:`from_average`.

    ``correct_bias``: roots are taken of L/(1-β₂ᵗ), or else of L.

    Reference: "A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer for Training
    Neural Networks At-Scale", Hao-Jun Michael Shi, Tsung-Hsien Lee, Shintaro Iwasaki, Jose Gallego-Posada, Zhijing Li,
    Kaushik Rangadurai, Dheevatsa Mudigere, Michael Rabbat, 2023, https://arxiv.org/abs/2309.06497
    """
    kept = statistics(grad, (L, R, L_diagonal, R_diagonal), beta2)
    gathered = _gathered(step, beta2) if correct_bias else 1.0
    u, left, right, bad = preconditioned(u, kept, (L_root, R_root), gathered, eps, (vector, matrix), refresh)
    L, R, L_diagonal, R_diagonal = kept
    return u, L, R, left, right, L_diagonal, R_diagonal, bad
