"""Convex problems with kinks or made to be hard, whose minima are known because they were chosen first."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem


def lasso_data(rows: int, size: int, seed: int, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """A, b and a minimizer x* of 1/2n ‖Ax - b‖² + λ‖x‖₁.

    Nesterov's construction: residuals come first; the columns that shall matter are stretched until their slope is λ
    exactly, the others shrunk below it; b follows. Source: "Gradient methods for minimizing composite functions", Yurii
    Nesterov, 2013.
    """
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    residual = torch.randn(rows, generator=random, dtype=torch.float64)
    slope = a.mT @ residual / rows
    support = torch.arange(size) < max(1, size // 4)
    shares = torch.rand(size, generator=random, dtype=torch.float64)
    stretch = torch.where(support, weight / slope.abs(), (shares * weight / slope.abs()).clamp(max=1.0))
    a = a * stretch
    best = torch.where(
        support, slope.sign() * (0.5 + torch.rand(size, generator=random, dtype=torch.float64)), 0.0
    )
    return a, a @ best + residual, best


@problem
def lasso(rows: int = 30, size: int = 12, seed: int = 0, weight: float = 0.3) -> Problem:
    """f(x) = 1/2n ‖Ax - b‖² + λ‖x‖₁ with a minimizer of which a quarter is not 0; the start is 0.

    Not smooth; ``strength`` is that of the quadratic part.
    """
    a, b, best = lasso_data(rows, size, seed, weight)

    def loss(x: Tensor) -> Tensor:
        return 0.5 * (a @ x - b).square().mean() + weight * x.abs().sum()

    least = float(torch.linalg.eigvalsh(a.mT @ a / rows)[0])
    return Problem("lasso", loss, torch.zeros_like(best), float(loss(best)), best, strength=max(0.0, least))


def paired_data(rows: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A, b and a minimizer x* of mean |aᵢᵀx - bᵢ|: every row is there twice, with errors of opposite signs, which are 0
    in half of the pairs, so that f has a kink at x*."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows // 2, size, generator=random, dtype=torch.float64)
    best = torch.randn(size, generator=random, dtype=torch.float64)
    errors = torch.rand(rows // 2, generator=random, dtype=torch.float64) * (torch.arange(rows // 2) % 2)
    return torch.cat([a, a]), torch.cat([a @ best + errors, a @ best - errors]), best


@problem
def least_absolute(rows: int = 40, size: int = 6, seed: int = 0, strength: float = 0.0) -> Problem:
    """f(x) = 1/n Σ |aᵢᵀx - bᵢ| + μ/2 ‖x - x*‖²; a draw is one row. Rows come in pairs whose errors cancel, so that x*
    is the minimizer; without μ, subgradients are at most the mean of ‖aᵢ‖. The start is 0."""
    a, b, best = paired_data(rows, size, seed)

    def loss(x: Tensor) -> Tensor:
        return (a @ x - b).abs().mean() + 0.5 * strength * (x - best).square().sum()

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        i = int(torch.randint(rows, (), generator=random))
        return (a[i] @ x - b[i]).abs() + 0.5 * strength * (x - best).square().sum()

    steep = None if strength else float(a.norm(dim=1).mean())
    return Problem(
        "least absolute deviations", loss, torch.zeros(size, dtype=torch.float64), float(loss(best)), best,
        strength=strength, lipschitz=steep, draw=draw, noise="one row at random",
    )  # fmt: skip


@problem
def worst_smooth(size: int = 41, steps: int = 20, smoothness: float = 1.0) -> Problem:
    """Nesterov's function, on which no first-order method is fast: L/8 (x₁² + Σ(xᵢ - xᵢ₊₁)² + x_k²) - L/4 x₁ with
    k = 2 · steps + 1; every gradient reaches one coordinate further. The start is 0, x*ᵢ = 1 - i/(k+1).

    Source: "Convex Optimization: Algorithms and Complexity", Sébastien Bubeck, 2015, Theorem 3.14.
    """
    k = 2 * steps + 1

    def loss(x: Tensor) -> Tensor:
        y = x[:k]
        bent = y[0].square() + (y[1:] - y[:-1]).square().sum() + y[-1].square()
        return smoothness / 8 * bent - smoothness / 4 * y[0]

    best = torch.zeros(size, dtype=torch.float64)
    best[:k] = 1 - torch.arange(1, k + 1, dtype=torch.float64) / (k + 1)
    lowest = -smoothness / 8 * (1 - 1 / (k + 1))
    return Problem(
        f"Nesterov's worst function, k = {k}", loss, torch.zeros_like(best), lowest, best, smoothness, 0.0
    )


@problem
def worst_lipschitz(
    size: int = 20, steps: int = 16, steepness: float = 1.0, strength: float = 0.25
) -> Problem:
    """G max(x₁ … x_t) + α/2 ‖x‖²: a subgradient, that of the first largest, tells of one coordinate at a time. The
    start is 0, x*ᵢ = -G/αt for i ≤ t.

    Source: "Convex Optimization: Algorithms and Complexity", Sébastien Bubeck, 2015, Theorem 3.13.
    """

    def loss(x: Tensor) -> Tensor:
        first = int(x.detach()[:steps].argmax())
        return steepness * x[first] + 0.5 * strength * x.square().sum()

    best = torch.zeros(size, dtype=torch.float64)
    best[:steps] = -steepness / (strength * steps)
    lowest = -(steepness**2) / (2 * strength * steps)
    return Problem(
        f"the largest of {steps} coordinates", loss, torch.zeros_like(best), lowest, best, strength=strength,
        lipschitz=steepness + strength,
    )  # fmt: skip
