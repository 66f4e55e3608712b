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
