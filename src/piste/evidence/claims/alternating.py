"""Matrices completed from some of their entries, by alternating least squares that are solved to a bounded error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from ..problems.quadratics import rotation

ALTERNATING = "Low Rank Matrix Completion via Robust Alternating Minimization in Nearly Linear Time"
EXACT = "Low-rank Matrix Completion using Alternating Minimization"
F64 = torch.float64
SIZE, RANK, SHARE = 200, 2, 0.8
Solver = Callable[[Tensor, Tensor, float, torch.Generator], Tensor]


def solved_to(grams: Tensor, rights: Tensor, accuracy: float, random: torch.Generator) -> Tensor:
    """For every row the solution of its normal equations, off at random by ``accuracy`` times its length."""
    exact = torch.linalg.solve(grams, rights.unsqueeze(-1)).squeeze(-1)
    off = torch.randn(exact.shape, generator=random, dtype=F64)
    return exact + accuracy * exact.norm(dim=1, keepdim=True) * off / off.norm(dim=1, keepdim=True)


def with_error(times: float, least: float = 0.0) -> Solver:
    """A solver whose error is so many times the one that is asked for, and not below ``least``."""

    def solve(grams: Tensor, rights: Tensor, accuracy: float, random: torch.Generator) -> Tensor:
        return solved_to(grams, rights, max(least, times * accuracy), random)

    return solve


def alternate(solve: Solver, accuracy: float, seed: int, halves: int) -> list[float]:
    """The sine of the largest angle between the factor's columns and the truth's after each half-step: least squares
    for one factor, the other fixed, from the singular vectors of the entries that are known."""
    random = torch.Generator().manual_seed(seed)
    left, right = rotation(SIZE, 2 * seed)[:, :RANK], rotation(SIZE, 2 * seed + 1)[:, :RANK]
    known = (torch.rand(SIZE, SIZE, generator=random, dtype=F64) < SHARE).double()
    entries = left @ right.mT * known
    basis, sines = torch.linalg.svd(entries)[0][:, :RANK], []
    for half in range(halves):
        seen, there, truth = (entries.mT, known.mT, right) if half % 2 == 0 else (entries, known, left)
        grams = (there @ (basis.unsqueeze(2) * basis.unsqueeze(1)).flatten(1)).view(-1, RANK, RANK)
        basis = torch.linalg.qr(solve(grams, seen @ basis, accuracy, random))[0]
        sines.append(float(torch.linalg.matrix_norm(basis - truth @ (truth.mT @ basis), 2)))
    return sines


@claim(
    "alternating least squares",
    ALTERNATING,
    subject=solved_to,
    kind="empirical",
    predicts=at_most(0.25),
    tolerance=0.0,
    wrong=with_error(1.0, 1e-3),
    seeds=5,
    scale="200 × 200 of rank 2 and condition 1, 80 % of the entries known, least squares to 1e-10",
)
def inexact_least_squares_keep_the_linear_rate(method: Any, seed: int) -> float:
    """Alternating minimization does not need exact least squares: with errors that are small, each half-step still
    brings the distance between the subspaces down to a quarter, as in the analysis with exact ones.

    The largest ratio of distances after and before a half-step, while the distance is above 1e-7. (The analysis asks
    for many more entries than the rank does: at size 100 and condition 2 the ratio is about 0.3.)
    """
    sines = alternate(method, 1e-10, seed, 10)
    return max(after / before for before, after in pairwise(sines) if before > 1e-7)


@claim(
    "alternating least squares",
    ALTERNATING,
    subject=solved_to,
    kind="empirical",
    predicts=at_most(10.0),
    tolerance=0.0,
    wrong=with_error(100.0),
    seeds=5,
    scale="200 × 200 of rank 2 and condition 1, 80 % of the entries known, least squares to 1e-3, 1e-5 and 1e-7",
)
def errors_of_the_least_squares_do_not_pile_up(method: Any, seed: int) -> float:
    """The subspaces come as near to the truth as the least squares are accurate: their errors do not add up over the
    iterations.

    The distance after 30 half-steps over the relative error of each least squares, the largest for three such errors.
    """
    return max(alternate(method, error, seed, 30)[-1] / error for error in (1e-3, 1e-5, 1e-7))


def least_squares(rows: Tensor, other: Tensor, y: Tensor) -> Tensor:
    """The V that minimizes Σ (⟨A_i, U Vᵀ⟩ - y_i)²; ``rows`` are the A_i."""
    seen = (rows.mT @ other).flatten(1)
    return torch.linalg.lstsq(seen, y).solution.view(rows.shape[2], -1)


def one_step_of_descent(rows: Tensor, other: Tensor, y: Tensor) -> Tensor:
    """A step from V = 0 against the slope of half of it, of the rate 1/2."""
    seen = (rows.mT @ other).flatten(1)
    return 0.5 * (seen.mT @ y).view(rows.shape[2], -1)


@claim(
    "alternating least squares",
    EXACT,
    subject=least_squares,
    kind="empirical",
    predicts=at_most(0.25),
    tolerance=0.0,
    wrong=one_step_of_descent,
    seeds=5,
    scale="10 × 10 of rank 2 and condition 1, 3000 Gaussian measurements",
)
def alternating_least_squares_quarter_the_distance(method: Any, seed: int) -> float:
    """For linear measurements that nearly keep the norms of matrices of low rank, every exact half-step of alternating
    minimization brings the distance between the subspaces at least to a quarter.

    The largest ratio of distances after and before a half-step, while the distance is above 1e-7, from the singular
    vectors of Σ y_i A_i. (The theorem asks for a nearly perfect restricted isometry.)
    """
    random = torch.Generator().manual_seed(seed)
    left, right = rotation(10, 2 * seed)[:, :RANK], rotation(10, 2 * seed + 1)[:, :RANK]
    rows = torch.randn(3000, 10, 10, generator=random, dtype=F64) / 3000**0.5
    y = (rows * (left @ right.mT)).sum((1, 2))
    basis, sines = torch.linalg.svd((y[:, None, None] * rows).sum(0))[0][:, :RANK], []
    basis_of = ((rows, right), (rows.mT, left))
    sines.append(float(torch.linalg.matrix_norm(basis - left @ (left.mT @ basis), 2)))
    for half in range(8):
        seen, truth = basis_of[half % 2]
        basis = torch.linalg.qr(method(seen, basis, y))[0]
        sines.append(float(torch.linalg.matrix_norm(basis - truth @ (truth.mT @ basis), 2)))
    return max(after / before for before, after in pairwise(sines) if before > 1e-7)
