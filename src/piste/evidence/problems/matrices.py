"""Matrices of low rank, to be found by their factors: from linear measurements or some of the entries."""

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
def matrix_completion(size: int = 20, rank: int = 2, share: float = 0.6, seed: int = 0) -> Problem:
    """f(U, V) = ½ Σ (U Vᵀ - M)² over a random share of the entries of a square matrix of that rank, whose singular
    values are 1; U and V start from Gaussian numbers of deviation 1/√size. Minimum 0; U Q and V Q⁻ᵀ are as good."""
    random = torch.Generator().manual_seed(seed + 23)
    left, right = rotation(size, 2 * seed)[:, :rank], rotation(size, 2 * seed + 1)[:, :rank]
    known = (torch.rand(size, size, generator=random, dtype=F64) < share).double()
    m, start = left @ right.mT, torch.randn(2 * size * rank, generator=random, dtype=F64) / size**0.5
    shift = turned(rank, seed) + 2 * torch.eye(rank, dtype=F64)
    back = torch.linalg.inv(shift).mT

    def loss(x: Tensor) -> Tensor:
        u, v = x.view(2, size, rank).unbind()
        return 0.5 * (known * (u @ v.mT - m)).square().sum()

    def both(x: Tensor) -> Tensor:
        u, v = x.view(2, size, rank).unbind()
        return torch.cat([(u @ shift).flatten(), (v @ back).flatten()])

    return Problem(
        "matrix completion", loss, start, 0.0, torch.cat([left.flatten(), right.flatten()]),
        symmetries={"the factors' basis": both}, shapes={"U": (size, rank), "V": (size, rank)},
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
