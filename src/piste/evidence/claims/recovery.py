"""Matrices of low rank from measurements of which some are grossly wrong, by scaled subgradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from ..problems.matrices import gross_errors
from ..problems.quadratics import rotation

SCALED = (
    "Low-Rank Matrix Recovery with Scaled Subgradient Methods: Fast and Robust Convergence Without the "
    "Condition Number"
)
F64 = torch.float64
RANK = 2


def scaled_directions(slope: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, float]:
    """S R (RᵀR)⁻¹ and Sᵀ L (LᵀL)⁻¹, and ‖S R (RᵀR)^-½‖² + ‖Sᵀ L (LᵀL)^-½‖², which Polyak's step is divided by."""
    down, other = slope @ right, slope.mT @ left
    along = torch.linalg.solve(right.mT @ right, down, left=False)
    across = torch.linalg.solve(left.mT @ left, other, left=False)
    return along, across, float((along * down).sum() + (across * other).sum())


def plain_directions(slope: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, float]:
    down, other = slope @ right, slope.mT @ left
    return down, other, float(down.square().sum() + other.square().sum())


def _polyak_steps(directions: Any, seed: int, condition: float, most: int = 2000) -> float:
    """Steps of Polyak's length on mean |⟨A_i, L Rᵀ⟩ - y_i| until ‖L Rᵀ - M‖ ≤ 1e-6 σ_r, from 0.1 σ_r in the paper's
    distance: M is 12 × 12 of rank 2, a tenth of its 400 measurements grossly wrong."""
    random = torch.Generator().manual_seed(seed)
    roots = torch.tensor([1.0, condition**-0.5], dtype=F64)
    left, right = (rotation(12, 2 * seed + i)[:, :RANK] * roots for i in (0, 1))
    truth, rows = left @ right.mT, torch.randn(400, 144, generator=random, dtype=F64)
    y = rows @ truth.flatten() + gross_errors(400, 0.1, seed)
    best = float((rows @ truth.flatten() - y).abs().mean())
    away = torch.randn(2, 12, RANK, generator=random, dtype=F64)
    away = 0.1 / condition * away / away.norm() / roots
    left, right = left + away[0], right + away[1]
    for t in range(most):
        if float((left @ right.mT - truth).norm()) <= 1e-6 / condition:
            return float(t)
        off = rows @ (left @ right.mT).flatten() - y
        slope = (torch.sign(off) @ rows).view(12, 12) / 400
        down, other, length = directions(slope, left, right)
        rate = (float(off.abs().mean()) - best) / length
        left, right = left - rate * down, right - rate * other
    return math.inf


@claim(
    "scaled subgradient method",
    SCALED,
    subject=scaled_directions,
    kind="empirical",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=plain_directions,
    seeds=4,
    scale="12 × 12 of rank 2, condition numbers 1 and 30, 400 Gaussian measurements, a tenth of them grossly wrong",
)
def scaled_subgradients_do_not_feel_the_condition_number(method: Any, seed: int) -> float:
    """With gross errors, too, the scaled subgradient method with Polyak's steps converges linearly at a rate that does
    not depend on the condition number.

    Steps until ‖L Rᵀ - M‖ ≤ 1e-6 σ_r for the condition number 30 over those for 1, from the distance 0.1 σ_r.
    """
    return _polyak_steps(method, seed, 30.0) / _polyak_steps(method, seed, 1.0)
