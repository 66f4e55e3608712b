"""Functions of a few numbers, for what quadratics cannot show."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..problem import Problem, problem


@problem
def rosenbrock(start: tuple[float, float] = (-1.2, 1.0)) -> Problem:
    """f(x, y) = (1 - x)² + 100 (y - x²)²: a curved valley, minimum 0 at (1, 1)."""

    def loss(x: Tensor) -> Tensor:
        return (1 - x[0]).square() + 100 * (x[1] - x[0].square()).square()

    one = torch.ones(2, dtype=torch.float64)
    return Problem("Rosenbrock", loss, torch.tensor(start, dtype=torch.float64), 0.0, one)


@problem
def wavy(start: float = 3.0) -> Problem:
    """f(x) = x² + 3 sin²x: not convex, and PL with μ = 1/32; L = 8.

    Source: "Linear Convergence of Gradient and Proximal-Gradient Methods Under the Polyak-Łojasiewicz Condition",
    Hamed Karimi, Julie Nutini, Mark Schmidt, 2016.
    """

    def loss(x: Tensor) -> Tensor:
        return (x.square() + 3 * x.sin().square()).sum()

    zero = torch.zeros(1, dtype=torch.float64)
    return Problem(
        "x² + 3 sin²x",
        loss,
        torch.tensor([start], dtype=torch.float64),
        0.0,
        zero,
        8.0,
        pl=1 / 32,
        radius=5.0,
    )


@problem
def absolute(size: int = 10, seed: int = 0) -> Problem:
    """f(x) = ‖x - x*‖₁: convex with a kink at the minimum, subgradients of norm at most √size."""
    random = torch.Generator().manual_seed(seed)
    start, target = torch.randn(2, size, generator=random, dtype=torch.float64).unbind()

    def loss(x: Tensor) -> Tensor:
        return (x - target).abs().sum()

    return Problem("‖x - x*‖₁", loss, start, 0.0, target, strength=0.0, lipschitz=math.sqrt(size))
