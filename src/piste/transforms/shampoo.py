"""Preconditioning a matrix on both sides by inverse roots of statistics of its rows and columns: Shampoo's kind."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import factor, square, transform
from ..linalg.products import symmetric
from ..linalg.roots import inverse_root
from .axes import axes, long, short


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("inner",),
    L=factor("m m", when=short(0)),
    R=factor("n n", when=short(1)),
    L_root=factor("m m", when=short(0)),
    R_root=factor("n n", when=short(1)),
    L_diagonal=square("m", when=long(0)),
    R_diagonal=square("n", when=long(1)),
)
def scale_by_shampoo(
    g: Tensor, inner: Any, L: Tensor | None, R: Tensor | None, L_root: Tensor | None, R_root: Tensor | None,
    L_diagonal: Tensor | None, R_diagonal: Tensor | None, *, eps: float, max_precond_dim: int, refresh: bool = True,
) -> Any:  # fmt: skip
    """L ← L + ggᵀ;  R ← R + gᵀg;  u = (L + εI)^(-1/2k) inner(g) (R + εI)^(-1/2k), k the number of factors.

    ``inner`` is what is preconditioned (the gradient's average, say), while the statistics see g itself. The roots are
    taken anew in the steps where ``refresh`` holds. An axis longer than ``max_precond_dim`` keeps its diagonal only.

    Reference: "Shampoo: Preconditioned Stochastic Tensor Optimization", Vineet Gupta, Tomer Koren, Yoram Singer, 2018,
    https://arxiv.org/abs/1802.09568
    """
    p = 2 * sum(axes(*g.shape[-2:]))
    L, R = (None if h is None else symmetric(x, x.mT, h) for h, x in ((L, g), (R, g.mT)))
    L_diagonal, R_diagonal = (
        None if d is None else d + g.square().sum(dim, keepdim=True)
        for d, dim in ((L_diagonal, -1), (R_diagonal, -2))
    )
    if refresh:
        L_root, R_root = (None if h is None else inverse_root(h, p, eps) for h in (L, R))
    u = inner(g)
    u = u if L_root is None else L_root @ u
    u = u if R_root is None else u @ R_root
    for d in (L_diagonal, R_diagonal):
        u = u if d is None else u * (d + eps) ** (-1 / p)
    return u, L, R, L_root, R_root, L_diagonal, R_diagonal
