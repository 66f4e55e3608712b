"""Steps whose length is governed by an energy that can only fall."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import scalar, square, total, transform
from ._numbers import where


@transform(energy=square)
def scale_by_aegd(g: Tensor, loss: Tensor, step: Any, energy: Tensor, *, lr: float, c: float = 1.0) -> Any:
    """l = √(f + c);  v = g / 2l = ∇l;  r ← r / (1 + 2ηv²), from r = l;  u = 2rv, entry by entry.

    The energy r falls at every step, for any η, and with it the step. f + c must stay positive.

    Reference: "AEGD: Adaptive Gradient Descent with Energy", Hailiang Liu, Xuping Tian, 2020,
    https://arxiv.org/abs/2010.05109
    """
    root = (loss.to(g.dtype) + c).sqrt()
    v = g / (2 * root)
    r = where(step == 1, root.expand_as(g), energy) / (1 + 2 * lr * v.square())
    return 2 * r * v, r


@transform(sums={"slope": total(lambda u, grad: u * grad, over="tree")}, energy=scalar)
def scale_by_energy(
    u: Tensor, loss: Tensor, step: Any, slope: Tensor, energy: Tensor, *, lr: float, c: float = 1.0
) -> Any:
    """l = √(f + c);  r ← r / (1 + 2η ∇lᵀA⁻¹∇l), from r = l;  u ← 2r A⁻¹∇l: behind a preconditioner, u = A⁻¹g.

    With ∇l = g / 2l: one energy for all parameters, r_{n+1} - r_n = ∇lᵀ(θ_{n+1} - θ_n). It falls at every step, for any
    η. f + c must stay positive.

    Reference: "Adaptive Preconditioned Gradient Descent with Energy", Hailiang Liu, Levon Nurbekyan, Xuping Tian,
    Yunan Yang, 2023, https://arxiv.org/abs/2310.06733
    """
    wide = slope.to(energy.dtype)
    root = (loss.to(energy.dtype) + c).sqrt()
    r = where(step == 1, root, energy) / (1 + 2 * lr * wide / (2 * root).square())
    return u * (r / root).to(u.dtype), r
