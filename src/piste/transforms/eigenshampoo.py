"""Shampoo that keeps its statistics as eigenvalues and eigenvectors, so that these can be stored in few bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .._transform import basis, factor, probe, square, transform
from ..linalg.eigen import orthogonal_factor
from ..linalg.products import symmetric
from ._numbers import where
from .axes import Keeps
from .shampoo import finite, sane


def _sided(side: int, is_short: bool) -> Keeps:
    """Of matrices alone: whether this side (0: rows, 1: columns) has a factor, or but a diagonal."""

    def kept(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
        return m > 1 and n > 1 and ((m, n)[side] <= hyper["max_precond_dim"]) is is_short

    return kept


WHEN = ("accumulate", "refresh")


@transform(
    invariant=("sign",),
    scope="tensor",
    Q_L=basis("m m", eye=1.0, when=_sided(0, True), code="eigen4", at=WHEN),
    Q_R=basis("n n", eye=1.0, when=_sided(1, True), code="eigen4", at=WHEN),
    values_L=square("m", fill="eps", when=_sided(0, True), at=WHEN),
    values_R=square("n", fill="eps", when=_sided(1, True), at=WHEN),
    L_root=factor("m m", eye=1.0, when=_sided(0, True), code="root4"),
    R_root=factor("n n", eye=1.0, when=_sided(1, True), code="root4"),
    L_diagonal=square("m", fill="eps", when=_sided(0, False)),
    R_diagonal=square("n", fill="eps", when=_sided(1, False)),
    recovered=probe,
)
def scale_by_eigen_shampoo(
    g: Tensor, Q_L: Tensor | None, Q_R: Tensor | None, values_L: Tensor | None, values_R: Tensor | None,
    L_root: Tensor | None, R_root: Tensor | None, L_diagonal: Tensor | None, R_diagonal: Tensor | None,
    recovered: Tensor | None, *, beta: float, eps: float, max_precond_dim: int = 1200, accumulate: bool = True,
    refresh: bool = True, exponent: float = 0.25,
) -> Any:  # fmt: skip
    """u = L^(-1/4) g R^(-1/4), with L = Q Λ Qᵀ kept as eigenvectors Q and eigenvalues Λ.

    where ``accumulate`` holds: L ← βL + (1-β)ggᵀ;  Q ← the orthogonal factor of LQ;  Λ ← diag(QᵀLQ)
    where ``refresh`` holds:    L^(-1/4) ← Q (Λ + ε max Λ)^(-1/4) Qᵀ

    Q and the roots are stored in four bits ("eigen4", "root4") unless ``storage=`` says otherwise; Q is made orthogonal
    again when it is read. A vector is left as it is; an axis longer than ``max_precond_dim`` keeps its diagonal.

    Reference: "4-bit Shampoo for Memory-Efficient Network Training", Sike Wang, Pan Zhou, Jia Li, Hua Huang, 2024,
    https://arxiv.org/abs/2405.18144
    """
    weight = where(beta < 1, 1 - beta, 1.0)
    seen = torch.where(finite(g), g, 0.0)
    bad = torch.zeros((), dtype=g.dtype, device=g.device)
    new: list[Any] = []
    sides = ((seen, Q_L, values_L, L_root), (seen.mT, Q_R, values_R, R_root))
    for x, q, values, root in sides:
        row = None if values is None else values.reshape(1, -1)
        if accumulate and q is not None and row is not None:
            q, row = _followed(x, q, row, beta, weight)
        if refresh and q is not None and row is not None and root is not None:
            half = q * (row + eps * row.amax(-1, keepdim=True)) ** (-0.5 * exponent)
            root, good = sane(symmetric(half, half.mT), root)
            bad = bad + (1.0 - good.to(g.dtype).mean()) / 2
        new.append((q, None if values is None or row is None else row.reshape(values.shape), root))
    diagonals = [
        d if d is None or not accumulate else beta * d + weight * seen.square().sum(dim, keepdim=True)
        for d, dim in ((L_diagonal, -1), (R_diagonal, -2))
    ]
    (Q_L, values_L, L_root), (Q_R, values_R, R_root) = new
    u = g if L_root is None else L_root @ g
    u = u if R_root is None else u @ R_root
    for d in diagonals:
        u = u if d is None else u * (d + eps * d.amax()) ** (-exponent)
    return u, Q_L, Q_R, values_L, values_R, L_root, R_root, *diagonals, bad


def _followed(x: Tensor, q: Tensor, values: Tensor, beta: Any, weight: Any) -> tuple[Tensor, Tensor]:
    """Eigenvectors and eigenvalues [1, m] of β Q Λ Qᵀ + weight x xᵀ by a step of orthogonal iteration from Q."""
    turned = q.mT @ x
    # L Q = β Q Λ + weight x (Qᵀ x)ᵀ where Q is orthogonal: L itself is not formed
    product = beta * q * values + weight * (x @ turned.mT)
    new = orthogonal_factor(product.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)
    return new, beta * ((q.mT @ new).square() * values.mT).sum(-2, keepdim=True) + weight * (
        new.mT @ x
    ).square().sum(-1).unsqueeze(-2)
