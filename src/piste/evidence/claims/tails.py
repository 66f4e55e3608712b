"""Medians of gradients; kinks; averaged iterations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms.clipping import clip_by_global_norm, clip_by_value
from ...transforms.decay import descend
from ..claim import at_least, at_most, between, claim
from ..methods import of_chain
from .stochastic import draws, run
from .wrong import scaled

MEDIAN = "SGD with Clipping is Secretly Estimating the Median Gradient"
KINKS = "GD doesn't make the cut: Three ways that non-differentiability affects neural network training"
ITERATE = "Iterate to Accelerate: A Unified Framework for Iterative Reasoning and Feedback Convergence"


def cauchy(random: torch.Generator, *shape: int) -> Tensor:
    """Numbers of Cauchy's law, which has no mean."""
    return torch.tan(math.pi * (torch.rand(shape, generator=random, dtype=torch.float64) - 0.5))


def median(draws: Tensor) -> Tensor:
    return draws.median(0).values


@claim(
    "sample median of gradients",
    MEDIAN,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=lambda draws: draws.mean(0),
    subject=median,
    seeds=4,
    scale="Σ √(1 + x²) in 5 dimensions, 9 draws a step, 300 steps of the rates 1/√T, 64 runs",
)
def median_gradients_survive_tails_without_a_mean(method: Any, seed: int) -> float:
    """Descent along the median of several gradients converges even where their noise has no mean and grows with the
    distance; along their mean it does not.

    log₁₀ of the mean of f at the averaged points less inf f, over that of the start; noise of Cauchy's law times
    (1 + |x|)/2.
    """
    random, steps = torch.Generator().manual_seed(seed), 300

    def gap(x: Tensor) -> float:
        return float(((1 + x.square()).sqrt() - 1).sum(1).mean())

    x = start = torch.full((64, 5), 3.0, dtype=torch.float64)
    total = torch.zeros_like(x)
    for _ in range(steps):
        total += x
        x = x - 2 / math.sqrt(steps) * method(_drawn(random, x))
    return math.log10(gap(total / steps) / gap(start))


def _drawn(random: torch.Generator, x: Tensor) -> Tensor:
    return x / (1 + x.square()).sqrt() + 0.5 * (1 + x.abs()) * cauchy(random, 9, *x.shape)


clipped = of_chain(lambda lr: chain(clip_by_value(0.1), descend(lr)))
ball = of_chain(lambda lr, most: chain(clip_by_global_norm(most), descend(lr)))


@claim(
    "clip_by_value",
    MEDIAN,
    kind="theorem",
    predicts=between(-1.1, -0.9),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=clipped,
    in_mean=True,
    seeds=4,
)
def an_average_that_moves_by_clipped_steps_finds_the_median(method: Any, seed: int) -> float:
    """m ← m + clip(g - m) estimates the median of what it is shown, where an average with momentum estimates the mean.

    The mean of m over the last 500 of 1,500 steps and 64 runs; g is 3 once in four times and -1 else: mean 0, median
    -1; threshold and rate are 0.1.
    """
    random = torch.Generator().manual_seed(seed)

    def slope(_: int, m: Tensor) -> Tensor:
        rare = torch.rand(64, generator=random, dtype=torch.float64) < 0.25
        return m - torch.where(rare, 3.0, -1.0)

    points = run(method, torch.zeros(64, dtype=torch.float64), slope, 1500, lr=0.1)
    return float(points[-500:].mean())


@claim(
    "clip_by_global_norm",
    MEDIAN,
    kind="theorem",
    predicts=at_least(0.0),
    tolerance=1e-12,
    wrong=of_chain(lambda lr, most: chain(clip_by_value(most), descend(lr))),
    subject=ball,
    seeds=3,
)
def clipping_is_a_proximal_step_towards_the_median(method: Any, seed: int) -> float:
    """m + clip_τ(g - m), clipped by its norm, is the proximal point of the distance to g: it minimizes ‖x - g‖ +
    ‖x - m‖²/2τ, of which the geometric median is made.

    The least of that at 256 points nearby less that at the step, over 20 pairs (m, g) in 4 dimensions, τ = 1.
    """
    normal, least = draws(seed), math.inf
    for _ in range(20):
        m, g = normal(4), 2 * normal(4)
        x = run(method, m, lambda _, at, g=g: at - g, 1, lr=1.0, most=1.0)[-1]
        near = x + 10 ** (-3 * torch.rand(256, 1).double()) * normal(256, 4)

        def cost(x: Tensor, m: Tensor = m, g: Tensor = g) -> Tensor:
            return (x - g).norm(dim=-1) + 0.5 * (x - m).square().sum(-1)

        least = min(least, float((cost(near) - cost(x)).min()))
    return least


@claim(
    "SGD",
    KINKS,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-3),
    seeds=4,
    scale="least squares, 40 rows of 10 numbers, penalties 10 and 100, 1,000 steps of the rate 0.01",
)
def a_larger_l1_penalty_leaves_larger_weights(method: Any, seed: int) -> float:
    """Subgradient descent at a constant rate ends with weights of a larger L₁ norm where the L₁ penalty is larger.

    The mean L₁ norm over the last half of the steps with the penalty λ = 100 relative to that with λ = 10, both large
    enough that the minimizer is 0.
    """
    normal = draws(seed)
    a, truth = normal(40, 10), normal(10)
    gram, aim = a.T @ a / 40, a.T @ (a @ truth) / 40
    norms = [
        run(method, normal(10), lambda _, w, p=p: gram @ w - aim + p * w.sign(), 1000, lr=0.01)[500:]
        .abs()
        .sum(1)
        .mean()
        for p in (100.0, 10.0)
    ]
    return float(norms[0] / norms[1])


@claim(
    "SGD",
    KINKS,
    kind="theorem",
    predicts=at_least(0.1),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-3),
    seeds=3,
)
def kinks_are_unstable_at_every_rate(method: Any, seed: int) -> float:
    """Near a kink gradient descent keeps stepping uphill however small its rate: 2/η bounds no sharpness there, which
    is 0 wherever it is defined.

    The least share of steps uphill among the last 100 of 300 over the rates 0.1, 1e-3 and 1e-5, started 50 rates away
    on Σ |xᵢ| in 5 dimensions.
    """
    shares = []
    for rate in (0.1, 1e-3, 1e-5):
        start = 50 * rate * torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        losses = run(method, start, lambda _, x: x.sign(), 300, lr=rate)[200:].abs().sum(1)
        shares.append(float((losses[1:] > losses[:-1]).double().mean()))
    return min(shares)


def averaged(operator: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> list[Tensor]:
    """s ← (1 - α) s + α T(s) with α = 2/(t + 2)."""
    points = [start]
    for t in range(1, steps + 1):
        a = 2 / (t + 2)
        points.append((1 - a) * points[-1] + a * operator(points[-1]))
    return points


def still(operator: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> list[Tensor]:
    return [start] * (steps + 1)


@claim(
    "averaged iteration",
    ITERATE,
    kind="theorem",
    predicts=at_most(-2.0),
    tolerance=0.05,
    wrong=still,
    subject=averaged,
    seeds=3,
    scale="a contraction of 3 numbers by 0.9, t = 300 to 3,000",
)
def averaged_contractions_converge_as_one_over_t_squared(method: Any, seed: int) -> float:
    """For every contraction T, s ← (1 - α)s + αT(s) with α = 2/(t + 2) has D(s_t, s*) = O(1/t²), D a Bregman
    divergence.

    The power of t by which ½‖s‖² falls from t = 300 to t = 3,000, T = 0.9 times the identity. (The product of the
    factors 1 - 2(1 - q)/(t + 2) falls as t^-2(1-q), so that ½‖s‖² does as t^-4(1-q): as 1/t² for q ≤ ½ only.)
    """
    points = method(lambda s: 0.9 * s, draws(seed)(3), 3000)
    return math.log(float(points[3000].square().sum() / points[300].square().sum())) / math.log(10.0)
