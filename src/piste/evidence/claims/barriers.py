"""Newton's method on barriers, and the path that it follows to the solution of a linear program."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from .papers import BUBECK

Derivatives = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Program:
    """min cᵀx over Ax < b; ``best`` is the corner where it is reached, 0 the start, and inside."""

    a: Tensor
    b: Tensor
    c: Tensor
    best: Tensor

    def at(self, weight: float) -> Derivatives:
        """Gradient and Hessian of weight · cᵀx - Σ log(bᵢ - aᵢᵀx)."""

        def derivatives(x: Tensor) -> tuple[Tensor, Tensor]:
            over = 1 / (self.b - self.a @ x)
            return weight * self.c + self.a.mT @ over, self.a.mT @ (self.a * over.square().unsqueeze(1))

        return derivatives

    def inside(self, x: Tensor) -> bool:
        return bool((self.a @ x < self.b).all())


def program(seed: int, rows: int = 20, size: int = 4) -> Program:
    """Rows at random; as many as there are unknowns meet at the corner, and c leans on all of them."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    lean = 0.2 + torch.rand(size, generator=random, dtype=torch.float64)
    gaps = 0.2 + torch.rand(rows, generator=random, dtype=torch.float64)
    best = torch.linalg.solve(a[:size], gaps[:size])
    b = torch.where(torch.arange(rows) < size, gaps, (a @ best).clamp(min=0) + gaps)
    return Program(a, b, -a[:size].mT @ lean, best)


def newton(derivatives: Derivatives, x: Tensor) -> Tensor:
    """The point after one full step."""
    gradient, hessian = derivatives(x)
    return x - torch.linalg.solve(hessian, gradient)


def timid(derivatives: Derivatives, x: Tensor) -> Tensor:
    """A hundredth of the step."""
    return x + 0.01 * (newton(derivatives, x) - x)


def decrement(derivatives: Derivatives, x: Tensor) -> float:
    """λ(x) = √(gᵀH⁻¹g)."""
    gradient, hessian = derivatives(x)
    return float((gradient @ torch.linalg.solve(hessian, gradient)).clamp(min=0).sqrt())


@claim(
    "Newton's method", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=timid,
    subject=newton, seeds=4,
)  # fmt: skip
def newton_squares_its_decrement(method: Any, seed: int) -> float:
    """On a self-concordant function a step of Newton's method from a point with the decrement λ ≤ 1/4 leads to one with
    a decrement of at most 2λ².

    The barrier of 20 half-spaces in 4 dimensions with weights 0, 1 and 10 on a linear part; the largest ratio of steps
    from 60 points between the center and points about it with λ between 1e-3 and 1/4.
    """
    p, worst = program(seed), 0.0
    random = torch.Generator().manual_seed(seed + 500)
    for weight in (0.0, 1.0, 10.0):
        f, center = p.at(weight), _center(p, weight)
        axes = torch.linalg.cholesky(torch.linalg.inv(f(center)[1]))
        for _ in range(20):
            way = torch.randn(len(center), generator=random, dtype=torch.float64)
            far = 0.25 * float(torch.rand((), generator=random))
            x = center + far * (axes @ (way / way.norm()))
            here = decrement(f, x)
            if 1e-3 < here <= 0.25:
                worst = max(worst, decrement(f, method(f, x)) / (2 * here**2))
    return worst


def _center(p: Program, weight: float) -> Tensor:
    """The minimizer of weight · cᵀx and the barrier, by Newton's method with steps of 1/(1 + λ)."""
    x, f = torch.zeros_like(p.c), p.at(weight)
    for _ in range(60):
        x = x + (newton(f, x) - x) / (1 + decrement(f, x))
    return x


@claim(
    "Newton's method", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=timid,
    subject=newton, seeds=3,
)  # fmt: skip
def paths_of_centers_lead_to_the_corner(method: Any, seed: int) -> float:
    """One step of Newton's method for every growth of the weight t by 1 + 1/13√ν keeps λ ≤ 1/4 and cᵀx - min ≤ 2ν/t,
    where ν is the number of half-spaces.

    Linear programs of 20 half-spaces in 4 dimensions, from the center of weight 1; the largest of 4λ and of the gap
    times t/2ν over 500 steps, infinite outside.
    """
    p = program(seed)
    nu, weight, x, worst = len(p.b), 1.0, _center(p, 1.0), 0.0
    for _ in range(500):
        weight *= 1 + 1 / (13 * math.sqrt(nu))
        f = p.at(weight)
        x = method(f, x)
        if not p.inside(x):
            return math.inf
        worst = max(worst, float(p.c @ (x - p.best)) * weight / (2 * nu), 4 * decrement(f, x))
    return worst
