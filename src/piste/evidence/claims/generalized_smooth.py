"""Losses whose curvature grows with their slope: normalized descent, alone and along SPIDER's estimate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from .stochastic import run
from .wrong import told

GENERALIZED = "Generalized-Smooth Nonconvex Optimization is As Efficient As Smooth Nonconvex Optimization"
MOMENTUM = "Momentum Improves Normalized SGD"


@claim(
    "NormalizedSGD",
    GENERALIZED,
    kind="theorem",
    predicts=at_most(1e-3),
    tolerance=0.0,
    wrong=told("NormalizedSGD", power=0.0),
    seeds=3,
)
def one_rate_suits_a_polynomial_from_every_start(method: Any, seed: int) -> float:
    """Where curvature grows as ‖∇f‖^α, gradient descent normalized by ‖∇f‖^β, β from α to 1, converges at one rate from
    every start, where gradient descent's rate must shrink with the slope there.

    The largest ratio of ‖∇f‖ after 200 steps to that before, from 1, 100 and 10,000 away: Σ (aᵢᵀx)⁴ in 4 dimensions, of
    which α = 2/3 = β; the rate is 0.1 for unit rows aᵢ.
    """
    random = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(8, 4, generator=random, dtype=torch.float64), dim=1)
    worst = 0.0
    for far in (1.0, 100.0, 10_000.0):
        start = torch.nn.functional.normalize(torch.randn(4, generator=random, dtype=torch.float64), dim=0)

        def slope(_: int, x: Tensor) -> Tensor:
            return 4 * rows.T @ (rows @ x) ** 3

        points = run(method, far * start, slope, 200, lr=0.1, momentum=0.0, power=2 / 3)
        ratio = float(slope(0, points[-1]).norm() / slope(0, points[0]).norm())
        worst = max(worst, ratio if math.isfinite(ratio) else math.inf)
    return worst


@claim(
    "NormalizedSGD",
    GENERALIZED,
    kind="theorem",
    predicts=at_most(2.0),
    tolerance=0.05,
    wrong=told("NormalizedSGD", power=0.0),
    seeds=2,
)
def normalized_descent_needs_no_more_steps_on_exponentials(method: Any, seed: int) -> float:
    """Normalized descent finds ‖∇f‖ ≤ ε in O(ε⁻²) steps on losses as steep as exponentials, as it does on smooth ones.

    The power of 1/ε by which the steps grow from ε = 0.2 to 0.02 with steps of the length ε: Σ cosh xᵢ in 3 dimensions
    from 5 away, where the slope is e⁵ / 2.
    """
    start = torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start = 5 * start / start.abs().max()
    counts = []
    for target in (0.2, 0.02):
        points = run(method, start, lambda _, x: x.sinh(), 600, lr=target, momentum=0.0, power=1.0)
        small = (points.sinh().norm(dim=1) <= target).nonzero()
        counts.append(float(small[0]) if len(small) else math.inf)
    return math.log(counts[1] / counts[0]) / math.log(10.0) if math.isfinite(sum(counts)) else math.inf


@claim(
    "NormalizedSPIDER",
    GENERALIZED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.15,
    in_mean=True,
    wrong=told("NormalizedSPIDER", period=1),
    seeds=4,
)
def spiders_error_is_that_of_the_large_batch_and_of_short_ways(method: Any, seed: int) -> float:
    """The recursive estimate's mean squared error is at most σ²/S₁ and L²‖w - w'‖²/S₂ for every step since the large
    batch.

    The mean of ‖v - ∇f‖² over that bound at the last steps of 10 periods of 20, in 400 dimensions: samples have ∇f_ξ =
    ∇f + ξ + Lζ ⊙ x with normal ξ and ζ, σ = L = 1; S₁ = 100, S₂ = 4.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.nn.Parameter(torch.ones(400, dtype=torch.float64))
    opt, seen, bound, first = method([x], lr=0.5, period=20), 0.0, 0.0, 0.0
    for t in range(200):
        size = 100 if t % 20 == 0 else 4
        xi, zeta = torch.randn(2, 400, generator=random, dtype=torch.float64) / math.sqrt(size)
        slope = x.detach().clone()

        def closure(xi: Tensor = xi, zeta: Tensor = zeta) -> Tensor:
            x.grad = x.detach() + xi + zeta * x.detach()
            return x.detach().square().sum() / 2

        opt.step(closure)
        if t % 20 == 0:
            first = float((1 + slope.square()).sum()) / 100
        if t % 20 == 19:
            seen += float((opt.state[x]["estimate"] - slope).square().sum())
            bound += first + 19 * 0.25 / 4
    return seen / bound


@claim(
    "NormalizedSPIDER",
    GENERALIZED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=told("NormalizedSPIDER", weight_decay=1.0),
    seeds=2,
)
def spider_on_one_batch_is_normalized_descent(method: Any, seed: int) -> float:
    """Where all batches are one the recursive estimate is its gradient, and SPIDER's steps are those of normalized
    descent.

    The largest difference over 60 steps of 0.05 on Σ cosh xᵢ in 4 dimensions, q = 25.
    """
    start = torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = torch.nn.Parameter(start.clone())
    opt, worst = method([x], lr=0.05, period=25), 0.0

    def closure() -> Tensor:
        x.grad = x.detach().sinh()
        return x.detach().cosh().sum()

    plain = start
    for _ in range(60):
        opt.step(closure)
        plain = plain - 0.05 * plain.sinh() / plain.sinh().norm()
        worst = max(worst, float((x.detach() - plain).abs().max()))
    return worst


@claim(
    "NormalizedSGD",
    MOMENTUM,
    kind="empirical",
    predicts=at_most(0.7),
    tolerance=0.0,
    wrong=told("NormalizedSGD", momentum=0.0),
    seeds=4,
    scale="½ Σ x² with curvatures 0.1 to 1 in 20 dimensions, Gaussian noise of 1 an entry, 1,000 steps of 0.01",
)
def momentum_lets_normalized_steps_converge_on_small_batches(method: Any, seed: int) -> float:
    """With momentum normalized SGD needs no large batches: without it the direction is noise near the minimum.

    The mean of ‖∇f‖ over the last half of the steps with μ = 0.99, relative to that without momentum.
    """
    curves = torch.logspace(-1, 0, 20, dtype=torch.float64)

    def slopes(used: Any, momentum: float) -> float:
        random = torch.Generator().manual_seed(seed)

        def noisy(_: int, x: Tensor) -> Tensor:
            return curves * x + torch.randn(20, generator=random, dtype=torch.float64)

        start = torch.ones(20, dtype=torch.float64)
        points = run(used, start, noisy, 1000, lr=0.01, momentum=momentum, power=1.0)
        return float((curves * points[500:]).norm(dim=1).mean())

    bare = told("NormalizedSGD", momentum=0.0)
    return slopes(method, 0.99) / slopes(bare, 0.0)


@claim(
    "NormalizedSGD",
    MOMENTUM,
    kind="identity",
    predicts=equal(1.0),
    tolerance=1e-9,
    wrong=told("NormalizedSGD", power=0.0),
    seeds=3,
)
def every_normalized_step_has_the_length_of_the_rate(method: Any, seed: int) -> float:
    """A normalized step has the length η, whatever the gradients' sizes, over all parameters together.

    The ratio of a step's length to η that is farthest from 1, over 20 steps on gradients from 1e-3 to 1e3 long.
    """
    random = torch.Generator().manual_seed(seed)
    x, y = (torch.nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (3, 5))
    opt, ratios = method([x, y], lr=0.1, momentum=0.9), []
    for t in range(20):
        before = torch.cat([x.detach(), y.detach()])
        for p in (x, y):
            p.grad = 10.0 ** (t % 7 - 3) * torch.randn(p.shape, generator=random, dtype=torch.float64)
        opt.step()
        ratios.append(float((torch.cat([x.detach(), y.detach()]) - before).norm()) / 0.1)
    return max(ratios, key=lambda r: abs(r - 1))
