"""Matrices of low rank, to be found by their factors: from linear measurements."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem
from .quadratics import rotation

F64 = torch.float64


def low_rank(size: int, rank: int, condition: float, seed: int) -> Tensor:
    """A factor X of M = X Xᵀ, of the given rank with eigenvalues in geometric progression from 1 to 1/condition and
    random eigenvectors: size × rank."""
    values = (
        torch.logspace(0, -1, rank, base=max(condition, 1.0), dtype=F64)
        if rank > 1
        else torch.ones(1, dtype=F64)
    )
    return rotation(size, seed)[:, :rank] * values.sqrt()


def measurements(samples: int, size: int, seed: int) -> Tensor:
    """Symmetric Gaussian matrices A_i / √samples, as rows: Σ ⟨A_i, X⟩² is ‖X‖² in expectation for symmetric X."""
    random = torch.Generator().manual_seed(seed + 17)
    a = torch.randn(samples, size, size, generator=random, dtype=F64)
    return ((a + a.mT) / 2 / samples**0.5).flatten(1)


def gross_errors(samples: int, share: float, seed: int) -> Tensor:
    """N(0, 100) for a random share of the samples, else 0."""
    random = torch.Generator().manual_seed(seed + 37)
    there = torch.rand(samples, generator=random, dtype=F64) < share
    return 10.0 * there * torch.randn(samples, generator=random, dtype=F64)


def padded(factor: Tensor, columns: int) -> Tensor:
    """The factor with columns of zeros."""
    return torch.cat([factor, factor.new_zeros(len(factor), columns - factor.shape[1])], 1)


def turned(columns: int, seed: int) -> Tensor:
    return rotation(columns, seed + 3)


@problem
def overguessed_sensing(
    size: int = 10, rank: int = 2, guess: int = 4, samples: int = 120, condition: float = 1.0, seed: int = 0,
    start: float = 1e-3,
) -> Problem:  # fmt: skip
    """f(X) = ¼ Σ (⟨A_i, X Xᵀ - M⟩)² over Gaussian measurements of a positive semidefinite M of a rank that is guessed
    too high: X is size × guess, from a Gaussian start of the given deviation.

    Minimum 0, at the factor of M with zeros; X may be turned from the right."""
    truth, rows = low_rank(size, rank, condition, seed), measurements(samples, size, seed)
    random = torch.Generator().manual_seed(seed + 29)
    y, turn = rows @ (truth @ truth.mT).flatten(), turned(guess, seed)

    def loss(x: Tensor) -> Tensor:
        return 0.25 * (rows @ (x @ x.mT).flatten() - y).square().sum()

    return Problem(
        "matrix sensing", loss, start * torch.randn(size, guess, generator=random, dtype=F64), 0.0,
        padded(truth, guess), symmetries={"turning X": lambda x: x @ turn},
    )  # fmt: skip


@problem
def asymmetric_factors(
    size: int = 10, rank: int = 2, guess: int = 4, seed: int = 0, start: float = 0.5, ratio: float = 1 / 3
) -> Problem:
    """f(F, G) = ½ ‖F Gᵀ - M‖² for a positive semidefinite M of rank ``rank`` with eigenvalues 1; F and G are size ×
    guess, from Gaussian starts of deviations start/√size and ``ratio`` times that. Minimum 0."""
    truth = low_rank(size, rank, 1.0, seed)
    random = torch.Generator().manual_seed(seed + 31)
    f, g = torch.randn(2, size, guess, generator=random, dtype=F64) * start / size**0.5
    m, turn, best = truth @ truth.mT, turned(guess, seed), padded(truth, guess)

    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        left, right = x.view(2, size, guess).unbind()
        return left, right

    def loss(x: Tensor) -> Tensor:
        left, right = parts(x)
        return 0.5 * (left @ right.mT - m).square().sum()

    def both(x: Tensor) -> Tensor:
        left, right = parts(x)
        return torch.cat([(left @ turn).flatten(), (right @ turn).flatten()])

    return Problem(
        "asymmetric factors", loss, torch.cat([f.flatten(), ratio * g.flatten()]), 0.0,
        torch.cat([best.flatten(), best.flatten()]), symmetries={"turning F and G": both},
        shapes={"F": (size, guess), "G": (size, guess)},
    )  # fmt: skip


@problem
def robust_sensing(
    size: int = 10, rank: int = 2, guess: int = 4, samples: int = 120, outliers: float = 0.1, seed: int = 0,
    start: float = 1e-6,
) -> Problem:  # fmt: skip
    """f(X) = mean |⟨A_i, X Xᵀ - M⟩ - s_i| over unscaled Gaussian measurements, of which a share ``outliers`` is off by
    s_i ~ N(0, 100): gross errors. The minimum is not known, and M need not reach it."""
    truth, rows = low_rank(size, rank, 1.0, seed), measurements(samples, size, seed) * samples**0.5
    y = rows @ (truth @ truth.mT).flatten() + gross_errors(samples, outliers, seed)
    turn = turned(guess, seed)

    def loss(x: Tensor) -> Tensor:
        return (rows @ (x @ x.mT).flatten() - y).abs().mean()

    return Problem(
        "robust matrix sensing", loss, start * rotation(size, seed + 41)[:, :guess],
        symmetries={"turning X": lambda x: x @ turn},
    )  # fmt: skip
