"""Matrices of low rank from measurements with gross outliers, by subgradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from ..problems.low_rank import spoiled

ROBUST = (
    "Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small Initialization, Noisy "
    "Measurements, and Over-parameterization"
)

Slope = Callable[[Tensor], Tensor]
Start = Callable[[Tensor, float], Tensor]
SIZE, ROWS = 20, 200
SCALE = "20 × 20 matrices of rank 1, 200 Gaussian measurements of which a tenth are outliers, 500 steps"


def signs(off: Tensor) -> Tensor:
    """The subgradient of Σ |off|."""
    return off.sign()


def squares(off: Tensor) -> Tensor:
    """The gradient of ½ Σ off²."""
    return off


def of_size(direction: Tensor, size: float) -> Tensor:
    return size * direction


def of_one_size(direction: Tensor, size: float) -> Tensor:
    """A start that is never small."""
    return direction


def error(
    slope: Slope, seed: int, rank: int, start: float = 1e-5, largest: float = 10.0, begin: Start = of_size
) -> float:
    """‖X Xᵀ - M‖ / ‖M‖ after 500 steps of the rate 0.5 · 0.98ᵗ on 1/n Σ |⟨Aᵢ, X Xᵀ⟩ - yᵢ|; infinite where it
    diverged."""
    truth, a, y = spoiled((1.0,), SIZE, ROWS, 0.1, seed, largest)
    random = torch.Generator().manual_seed(seed + 3)
    x = begin(torch.randn(SIZE, rank, generator=random, dtype=torch.float64), start) / SIZE**0.5
    for t in range(500):
        x = x - 0.5 * 0.98**t * ((slope(a @ (x @ x.mT).flatten() - y) @ a).view(SIZE, SIZE) / ROWS) @ x
    found = float((x @ x.mT - truth).norm() / truth.norm())
    return found if found < 1e9 else torch.inf


@claim(
    "subgradient method",
    ROBUST,
    kind="empirical",
    predicts=at_most(0.01),
    tolerance=0.0,
    wrong=squares,
    subject=signs,
    seeds=4,
    scale=SCALE,
)
def a_small_start_finds_the_matrix_for_any_guess_of_its_rank(method: Slope, seed: int) -> float:
    """From a tiny start subgradient steps on the sum of absolute errors find the true matrix in spite of outliers,
    whatever the number of columns.

    The largest relative error for 1, 5 and 20 columns, from a start of 1e-5. The rates' sum, 25, must let the matrix
    grow out of the start: from 1e-7 it does not always.
    """
    return max(error(method, seed, rank) for rank in (1, 5, SIZE))


@claim(
    "subgradient method",
    ROBUST,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=of_one_size,
    subject=of_size,
    seeds=4,
    scale=SCALE,
)
def a_large_start_pays_for_columns_that_are_too_many(method: Start, seed: int) -> float:
    """It is the small start that makes the number of columns harmless.

    The decimal logarithm of the relative error with 20 columns from a start of 1 over that from a start of 1e-5.
    """
    large, small = (error(signs, seed, SIZE, start, begin=method) for start in (1.0, 1e-5))
    return math.log10(large / small)


@claim(
    "subgradient method",
    ROBUST,
    kind="empirical",
    predicts=at_most(2.0),
    tolerance=0.0,
    wrong=squares,
    subject=signs,
    seeds=4,
    scale=SCALE,
)
def outliers_may_be_arbitrarily_large(method: Slope, seed: int) -> float:
    """How large the outliers are does not matter.

    The relative error with outliers of deviation 1e6 over that with outliers of deviation 10, 20 columns.
    """
    return error(method, seed, SIZE, largest=1e6) / error(signs, seed, SIZE)
