"""Measures that are optimized by particles."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from .wrong import scaled

DISPLACEMENT = "Efficient displacement convex optimization with particle gradient descent"


def energy(x: Tensor) -> float:
    """The energy distance 2 E|x - y| - E|x - x'| - E|y - y'| of particles x from y, uniform on (0, 1): convex along
    displacements on the line, and 0 at the uniform law only."""
    inside = torch.where((x > 0) & (x < 1), x.square() - x + 0.5, (x - 0.5).abs()).mean()
    n = len(x)
    ranks = 2 * torch.arange(1, n + 1, dtype=x.dtype) - n - 1
    return float(2 * inside - 2 * (ranks * x.sort().values).sum() / n**2 - 1 / 3)


def pull(x: Tensor) -> Tensor:
    """n times the gradient of ``energy`` by the particles: what each of them feels."""
    n = len(x)
    ranks = torch.empty_like(x)
    ranks[x.argsort()] = 2 * torch.arange(1, n + 1, dtype=x.dtype) - n - 1
    return 2 * (2 * x - 1).clamp(-1, 1) - 2 * ranks / n


def moved(method: Any, seed: int, count: int, steps: int, rate: float) -> tuple[Tensor, float]:
    """The particles' mean place over all steps from a narrow heap near 0, each in its order, and how far the heap was
    from the best places (in the norm of L²)."""
    random = torch.Generator().manual_seed(seed)
    start = 0.01 * torch.rand(count, generator=random, dtype=torch.float64).sort().values
    best = (2 * torch.arange(1, count + 1, dtype=torch.float64) - 1) / (2 * count)
    x, total = torch.nn.Parameter(start.clone()), torch.zeros_like(start)
    opt = method([x], lr=rate)
    for _ in range(steps):
        total += x.detach()
        x.grad = pull(x.detach())
        opt.step()
    return total / steps, float((start - best).square().mean().sqrt())


@claim(
    "SGD",
    DISPLACEMENT,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 1e-3),
    seeds=3,
)
def particles_come_near_the_best_measure_at_the_rate_of_a_subgradient_method(method: Any, seed: int) -> float:
    """For a Lipschitz, displacement convex F, n = O(1/ε²) particles and as many steps of gradient descent come within ε
    of inf F.

    F of the mean places over n steps of the rate W/(G√n) against G W/√n + 1/3n, for 16, 64, 256 and 1,024 particles,
    the largest ratio. F is the energy distance from the uniform law on (0, 1), G = 4 bounds what a particle feels, W
    the distance of the start from the best places; 1/3n is the mean F of n random draws from the law itself.
    """
    worst = 0.0
    for count in (16, 64, 256, 1024):
        reach = moved(method, seed, count, 1, 0.0)[1]
        mean, _ = moved(method, seed, count, count, reach / (4 * math.sqrt(count)))
        worst = max(worst, energy(mean) / (4 * reach / math.sqrt(count) + 1 / (3 * count)))
    return worst


@claim(
    "SGD",
    DISPLACEMENT,
    kind="empirical",
    predicts=at_most(-0.5),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-3),
    seeds=3,
    scale="the energy distance from the uniform law on a line, 16 to 1,024 particles, as many steps as particles",
)
def the_error_of_n_particles_falls_at_least_like_one_over_the_root_of_n(method: Any, seed: int) -> float:
    """The error of n particles after O(n) steps falls at least like 1/√n.

    The exponent of n between 16 and 1,024 in F - inf F at the mean places over n steps.
    """
    few, many = (energy(moved(method, seed, n, n, 0.58 / (4 * math.sqrt(n)))[0]) for n in (16, 1024))
    return math.log(many / few) / math.log(1024 / 16)


@claim(
    "SGD",
    DISPLACEMENT,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 3.0),
    seeds=3,
)
def strongly_displacement_convex_functionals_are_minimized_linearly(method: Any, seed: int) -> float:
    """Where F is λ-displacement convex and smooth with L, gradient descent of particles contracts their distance from
    the best measure by 1 - λ/L a step.

    The largest ratio of W₂ after a step and (1 - λ/L) W₂ before it, over 40 steps of the rate 1/L of 32 particles in
    the plane with F = ∫ V dμ + ½ ∬ w(x - y) dμ dμ, V of curvatures 0.3 and 1, w = |·|²/4, so λ = 0.3 and L = 1.5
    (the minimum is all mass at 0, and W₂ the root mean square norm).
    """
    x = torch.nn.Parameter(torch.randn(32, 2, dtype=torch.float64))
    curvature = torch.tensor([0.3, 1.0], dtype=torch.float64)
    opt, worst = method([x], lr=1 / 1.5), 0.0
    for _ in range(40):
        before = x.detach().clone()
        x.grad = curvature * before + 0.5 * (before - before.mean(0))
        opt.step()
        worst = max(worst, float(x.detach().norm() / before.norm()) / (1 - 0.3 / 1.5))
    return worst
