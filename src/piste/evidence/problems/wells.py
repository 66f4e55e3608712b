"""Wells of quantum mechanics: residuals of Schrödinger's equation, of small networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..problem import Problem, problem

Field = tuple[Tensor, Tensor, Tensor]  # a function at some points, its derivative and the second one


def one_layer(theta: Tensor, x: Tensor) -> Field:
    """Of a network with one hidden layer of tanh and 3h + 1 weights."""
    h = len(theta) // 3
    (w, b, a), c = theta[: 3 * h].view(3, h), theta[3 * h]
    t = torch.tanh(x[:, None] * w + b)
    slope = 1 - t * t
    return t @ a + c, slope @ (a * w), (-2 * t * slope) @ (a * w * w)


def held(field: Field, mask: Field) -> Field:
    """A product, by which the mask's zeros become those of the field."""
    (u, d, dd), (m, md, mdd) = field, mask
    return m * u, md * u + m * d, mdd * u + 2 * md * d + m * dd


def places(count: int, low: float, high: float) -> Tensor:
    """Midpoints of equal parts."""
    return low + (high - low) * (torch.arange(count, dtype=torch.float64) + 0.5) / count


def random_weights(seed: int, hidden: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    first = torch.randn(3 * hidden, generator=random, dtype=torch.float64)
    return torch.cat([first, torch.ones(1, dtype=torch.float64)])


def infinite_wave(theta: Tensor, x: Tensor) -> Field:
    """x(1 - x) times a network."""
    return held(one_layer(theta, x), (x * (1 - x), 1 - 2 * x, torch.full_like(x, -2)))


@problem
def infinite_well(hidden: int = 8, points: int = 40, seed: int = 0) -> Problem:
    """f = mean (ψ'' + π²ψ)² + (∫ψ² - 1)² of ψ = x(1 - x) times a tanh network, which is 0 at both walls: the ground
    state √2 sin πx, with the energy π² in units of ħ²/2mL². How near to 0 f comes depends on ``hidden``.

    Source: "Physics-Informed Neural Networks for One-Dimensional Quantum Well Problems".
    """
    x = places(points, 0, 1)

    def loss(theta: Tensor) -> Tensor:
        psi, _, bent = infinite_wave(theta, x)
        return (bent + math.pi**2 * psi).square().mean() + (psi.square().mean() - 1).square()

    return Problem("an infinite well", loss, random_weights(seed, hidden))


@problem
def finite_well(depth: float = 20.0, hidden: int = 24, points: int = 120, seed: int = 0) -> Problem:
    """f = mean (-ψ'' + Vψ - Eψ)² + 10 (∫ψ² - 1)² of ψ = (1 - x²/9) times a tanh network on (-3, 3), V = ``depth``
    outside of (-1, 1), and E the last parameter, which starts at 1; :func:`level` is the true energy of the ground
    state.

    Source: as of :func:`infinite_well`.
    """
    x = places(points, -3, 3)
    potential = depth * (x.abs() >= 1).double()
    mask = (1 - (x / 3).square(), -2 * x / 9, torch.full_like(x, -2 / 9))

    def loss(theta: Tensor) -> Tensor:
        psi, _, bent = held(one_layer(theta[:-1], x), mask)
        residual = -bent + (potential - theta[-1]) * psi
        return residual.square().mean() + 10 * (6 * psi.square().mean() - 1).square()

    return Problem(
        "a finite well", loss, torch.cat([random_weights(seed, hidden), torch.ones(1, dtype=torch.float64)])
    )


def level(depth: float) -> float:
    """The lowest energy k² of a well of half width 1: k tan k = √(depth - k²)."""
    k = 1.2
    for _ in range(100):
        k = math.atan(math.sqrt(depth - k * k) / k)
    return k * k
