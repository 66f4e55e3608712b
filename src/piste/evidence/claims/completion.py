"""Matrices of low rank from some of their entries, by regressions in turn."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_most, between, claim
from ..problems.quadratics import rotation

ROBUST = "Low Rank Matrix Completion via Robust Alternating Minimization in Nearly Linear Time"

Solver = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
SEEN = 0.8  # of the entries


def entries(seed: int, rows: int = 40, columns: int = 30, rank: int = 4) -> tuple[Tensor, Tensor]:
    """(M, seen): an incoherent matrix with singular values from 1 to ½, and which of its entries are seen."""
    values = torch.linspace(1.0, 0.5, rank, dtype=torch.float64)
    truth = (rotation(rows, seed)[:, :rank] * values) @ rotation(columns, seed + 1)[:, :rank].mT
    random = torch.Generator().manual_seed(seed + 2)
    return truth, (torch.rand(rows, columns, generator=random, dtype=torch.float64) < SEEN).double()


def exact(u: Tensor, y: Tensor, seen: Tensor, v: Tensor) -> Tensor:
    """V that minimizes ‖seen (U Vᵀ - Y)‖: a regression for every column."""
    gram = torch.einsum("ij,ik,il->jkl", seen, u, u)
    return torch.linalg.solve(gram, ((seen * y).mT @ u).unsqueeze(-1)).squeeze(-1)


def iterated(u: Tensor, y: Tensor, seen: Tensor, v: Tensor, rounds: int = 6) -> Tensor:
    """The same by a few steps of gradient descent from the last V, preconditioned by the Gram matrix of all rows."""
    for _ in range(rounds):
        slope = (seen * (u @ v.mT - y)).mT @ u
        v = v - torch.linalg.solve(SEEN * (u.mT @ u), slope, left=False)
    return v


def hurried(u: Tensor, y: Tensor, seen: Tensor, v: Tensor) -> Tensor:
    return iterated(u, y, seen, v, 1)


def alternate(solve: Solver, seed: int, turns: int) -> list[float]:
    """‖U Vᵀ - M‖ / ‖M‖ after every turn of both factors, from the singular vectors of the entries seen."""
    truth, seen = entries(seed)
    u, s, w = torch.linalg.svd(seen * truth / SEEN, full_matrices=False)
    u, v, errors = u[:, :4], w[:4].mT * s[:4], []
    for _ in range(turns):
        v = solve(u, truth, seen, v)
        turned, r = torch.linalg.qr(v)
        u, v = solve(turned, truth.mT, seen.mT, u @ r.mT), turned
        turned, r = torch.linalg.qr(u)
        u, v = turned, v @ r.mT
        errors.append(float((u @ v.mT - truth).norm() / truth.norm()))
    return errors


def _turns(solve: Solver, seed: int) -> float:
    return next((t for t, e in enumerate(alternate(solve, seed, 120)) if e < 1e-8), 120) + 1.0


@claim(
    "robust alternating minimization",
    ROBUST,
    kind="empirical",
    predicts=at_most(1.25),
    tolerance=0.0,
    wrong=hurried,
    subject=iterated,
    seeds=4,
    scale="40 × 30 matrices of rank 4, 80 % of the entries seen",
)
def approximate_regressions_need_no_more_turns(method: Solver, seed: int) -> float:
    """Alternating minimization tolerates regressions that are solved approximately: it converges as fast as with exact
    ones.

    Turns to a relative error of 1e-8 with 6 preconditioned gradient steps in the place of each regression, over those
    with exact regressions. It takes enough entries for one preconditioner to suit all rows: with 60 % of them a few
    matrices have rows that 6 steps do not solve, and need three times the turns.
    """
    return _turns(method, seed) / _turns(exact, seed)


def perturbed(size: float) -> Solver:
    """Exact regressions and an error of that size, relative to the solution's."""
    random = torch.Generator().manual_seed(5)

    def solve(u: Tensor, y: Tensor, seen: Tensor, v: Tensor) -> Tensor:
        found = exact(u, y, seen, v)
        error = torch.randn(found.shape, generator=random, dtype=torch.float64)
        return found + size * found.norm() / error.norm() * error

    return solve


@claim(
    "robust alternating minimization",
    ROBUST,
    kind="empirical",
    predicts=between(0.9, 1.1),
    tolerance=0.0,
    wrong=lambda size: perturbed(size**0.5),
    subject=perturbed,
    seeds=4,
    scale="40 × 30 matrices of rank 4, 80 % of the entries seen, errors of 1e-3 and 1e-6, 60 turns",
)
def errors_of_regressions_do_not_pile_up(method: Callable[[float], Solver], seed: int) -> float:
    """Regressions with an error ε lead alternating minimization to an error in proportion to ε.

    The exponent e in the final error ~ εᵉ between ε = 1e-6 and 1e-3, the mean of the last 20 of 60 turns.
    """
    small, large = (sum(alternate(method(size), seed, 60)[-20:]) for size in (1e-6, 1e-3))
    return math.log(large / small) / math.log(1e3)


@claim(
    "robust alternating minimization",
    ROBUST,
    kind="empirical",
    predicts=at_most(5.0),
    tolerance=0.0,
    wrong=lambda size: perturbed(100 * size),
    subject=perturbed,
    seeds=4,
    scale="40 × 30 matrices of rank 4, 80 % of the entries seen, errors of 1e-4, 60 turns",
)
def errors_of_regressions_are_forgotten(method: Callable[[float], Solver], seed: int) -> float:
    """What a regression errs by is forgotten as the turns go on, as each turn shrinks it by a factor.

    The final relative error over ε = 1e-4, the mean of the last 20 of 60 turns: a constant, where 120 regressions made
    120 errors.
    """
    return sum(alternate(method(1e-4), seed, 60)[-20:]) / 20 / 1e-4
