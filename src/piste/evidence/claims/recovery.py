"""Matrices of low rank from their factors: gross errors in what is measured of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from ..problems.matrices import gross_errors, low_rank, measurements
from ..problems.quadratics import rotation

ROBUST = (
    "Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small Initialization, Noisy "
    "Measurements, and Over-parameterization"
)
SCALED = (
    "Low-Rank Matrix Recovery with Scaled Subgradient Methods: Fast and Robust Convergence Without the "
    "Condition Number"
)
F64 = torch.float64
SIZE, RANK = 10, 2


def subgradient_method(x: Tensor, rows: Tensor, y: Tensor, steps: int = 900) -> Tensor:
    """X ← X - η_t D_t, where D = S X / ‖S‖ with S = Σ sign(⟨A_i, X Xᵀ⟩ - y_i) A_i and η_t = 0.5 · 0.985ᵗ."""
    for t in range(steps):
        s = (torch.sign(rows @ (x @ x.mT).flatten() - y) @ rows).view(len(x), len(x))
        x = x - 0.5 * 0.985**t * (s / s.norm()) @ x
    return x


def always_from(scale: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The same from a start of that size, whatever it is given."""
    return lambda x, rows, y: subgradient_method(scale * x / torch.linalg.matrix_norm(x, 2), rows, y)


def _recovered(method: Any, seed: int, guess: int, scale: float, gross: float = 1.0) -> float:
    """‖X Xᵀ - M‖/‖M‖ at the end, from ``scale`` times orthonormal columns; ``gross``: a factor on the errors."""
    truth, rows = low_rank(SIZE, RANK, 1.0, seed), measurements(200, SIZE, seed) * 200**0.5
    m = truth @ truth.mT
    y = rows @ m.flatten() + gross * gross_errors(200, 0.1, seed)
    x = method(scale * rotation(SIZE, seed + 41)[:, :guess], rows, y)
    return float((x @ x.mT - m).norm() / m.norm())


@claim(
    "subgradient method",
    ROBUST,
    subject=subgradient_method,
    kind="empirical",
    predicts=at_most(1e-3),
    tolerance=0.0,
    wrong=always_from(1.0),
    seeds=4,
    scale="10 × 10 of rank 2, guessed as 2, 4 and 10; 200 Gaussian measurements, a tenth of them grossly wrong",
)
def subgradients_from_a_tiny_start_find_the_truth_whatever_the_guess(method: Any, seed: int) -> float:
    """On the ℓ1 loss of measurements, some of them arbitrarily wrong, the subgradient method from a tiny start reaches
    the true matrix, however much its rank is overestimated.

    The largest relative error of X Xᵀ for guesses of the rank from the true one to the size, from 1e-6 times
    orthonormal columns, after 900 steps whose length falls geometrically.
    """
    return max(_recovered(method, seed, guess, 1e-6) for guess in (RANK, 2 * RANK, SIZE))


@claim(
    "subgradient method",
    ROBUST,
    subject=subgradient_method,
    kind="empirical",
    predicts=at_least(2.0),
    tolerance=0.0,
    wrong=always_from(1e-6),
    seeds=8,
    scale="10 × 10 of rank 2, guessed as 10; 200 Gaussian measurements, a tenth of them grossly wrong",
)
def a_large_start_of_too_many_columns_misses_the_truth(method: Any, seed: int) -> float:
    """It is the small start that makes overestimation harmless: from a start as large as the truth the same steps end
    elsewhere.

    By how many orders of magnitude the error from orthonormal columns, as many as rows, exceeds that from 1e-6 times
    them.
    """
    return math.log10(_recovered(method, seed, SIZE, 1.0) / _recovered(method, seed, SIZE, 1e-6))


def by_squares(x: Tensor, rows: Tensor, y: Tensor, steps: int = 900) -> Tensor:
    """The same steps on the mean of squares."""
    for t in range(steps):
        s = ((rows @ (x @ x.mT).flatten() - y) @ rows).view(len(x), len(x))
        x = x - 0.5 * 0.985**t * (s / s.norm()) @ x
    return x


@claim(
    "subgradient method",
    ROBUST,
    subject=subgradient_method,
    kind="empirical",
    predicts=at_most(-3.0),
    tolerance=0.0,
    wrong=by_squares,
    seeds=4,
    scale="10 × 10 of rank 2, guessed as 10; 200 Gaussian measurements, a tenth of them off by N(0, 1e10)",
)
def errors_may_be_as_gross_as_they_like(method: Any, seed: int) -> float:
    """The measurements that are wrong may be wrong by any amount: subgradients of the ℓ1 loss see their signs only.

    log₁₀ of the relative error of X Xᵀ where a tenth of the measurements is off by N(0, 1e10), after 900 steps from a
    start of 1e-6.
    """
    return math.log10(_recovered(method, seed, SIZE, 1e-6, gross=1e4))


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
