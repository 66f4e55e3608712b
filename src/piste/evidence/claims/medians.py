"""Running and sample medians of gradients; what a clipping threshold costs without noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal
from ..tuning import steps_to
from .noise import CLIPPING
from .stochastic import run
from .tails import MEDIAN, cauchy
from .wrong import instead, told


def _lopsided(seed: int, count: int) -> Tensor:
    """Points in the plane whose mean is not their median: most lie near (1, 1), a few far off."""
    random = torch.Generator().manual_seed(seed)
    near = torch.tensor([1.0, 1.0]) + 0.3 * torch.randn(count, 2, generator=random)
    off = torch.rand(count, 1, generator=random) < 0.2
    return torch.where(off, torch.tensor([-6.0, 4.0]) + near, near).double()


def geometric_median(points: Tensor) -> Tensor:
    """By Weiszfeld's iteration."""
    x = points.mean(0)
    for _ in range(300):
        weights = 1 / (points - x).norm(dim=1).clamp(min=1e-12)
        x = (weights.unsqueeze(1) * points).sum(0) / weights.sum()
    return x


@claim(
    "MedianSGD",
    MEDIAN,
    kind="theorem",
    predicts=at_most(0.2),
    tolerance=0.0,
    wrong=told("MedianSGD", radius=1e6),
    in_mean=True,
    seeds=4,
)
def the_clipped_average_tracks_the_geometric_median(method: Any, seed: int) -> float:
    """Across iterations stochastic proximal points estimate the geometric median of the gradients: their distances'
    sum, and not that of the squares, is what they make small.

    The distance of the mean of m over the last 600 of 700 steps to the geometric median, over that of the mean of
    the gradients to it; the gradients are points of the plane, one in five of them far off; τ = 0.05.
    """
    points = _lopsided(seed, 700)
    w = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    opt, total = method([w], lr=0.0, radius=0.05), torch.zeros(2, dtype=torch.float64)
    for t, g in enumerate(points):
        w.grad = g.clone()
        opt.step()
        total += opt.state[w]["median_buffer"] if t >= 100 else 0.0
    median = geometric_median(points)
    return float((total / 600 - median).norm() / (points.mean(0) - median).norm())


@claim(
    "MedianSGD",
    MEDIAN,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.9, dampening=0.9),
    seeds=4,
    scale="½‖x‖² in 200 dimensions, Cauchy's noise, 300 steps of 0.05 with linear decay, τ = 0.1 by coordinate",
)
def a_running_median_descends_where_momentum_does_not(method: Any, seed: int) -> float:
    """Where noise has no mean, descent along the running median converges, along the running mean (momentum) not.

    log₁₀ of the loss at the last point over that of the start.
    """
    random = torch.Generator().manual_seed(seed)
    points = run(
        method, torch.ones(200, dtype=torch.float64), lambda _, x: x + cauchy(random, 200), 300,
        lambda t: 1 - t / 300, lr=0.05, radius=0.1, coordinates=True,
    )  # fmt: skip
    return math.log10(float(points[-1].square().mean()))


@claim(
    "SampleMedianSGD",
    MEDIAN,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=told("SampleMedianSGD", samples=1),
    seeds=4,
    scale="Σ √(1 + x²) in 320 dimensions from 3, 9 samples a step, 200 steps of the rate 2/√T",
)
def medians_of_samples_converge_under_noise_that_depends_on_the_state(method: Any, seed: int) -> float:
    """Along the median of several samples SGD converges even where noise is heavy-tailed and depends on the state.

    log₁₀ of f at the average of the points less inf f, over that of the start; noise of Cauchy's law times (1 + |x|)/2.
    """
    random, steps = torch.Generator().manual_seed(seed), 200
    x = torch.nn.Parameter(torch.full((320,), 3.0, dtype=torch.float64))
    opt, total = method([x], lr=2 / math.sqrt(steps), samples=9), torch.zeros(320, dtype=torch.float64)

    def closure() -> Tensor:
        here = x.detach()
        x.grad = here / (1 + here.square()).sqrt() + 0.5 * (1 + here.abs()) * cauchy(random, 320)
        return _gap(here)

    for _ in range(steps):
        total += x.detach()
        opt.step(closure)
    return math.log10(float(_gap(total / steps) / _gap(torch.full((320,), 3.0, dtype=torch.float64))))


def _gap(x: Tensor) -> Tensor:
    return ((1 + x.square()).sqrt() - 1).sum()


@claim(
    "SampleMedianSGD",
    MEDIAN,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("SampleMedianSGD", samples=1),
    seeds=2,
)
def a_minority_of_samples_has_no_say_beyond_the_others(method: Any, seed: int) -> float:
    """The median of the samples is not moved by a minority of outliers beyond what the others show: if two of five are
    wild, each coordinate stays within the range of the three that are not.

    How far the step leaves that range, at most over 20 steps in 6 dimensions; outliers are 1e6 times as long, all on
    one side.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    for _ in range(20):
        sane = torch.randn(3, 6, generator=random, dtype=torch.float64)
        feed = iter([1e6 * sane[0].abs(), *sane, 1e6 * sane[1].abs()])
        x = torch.nn.Parameter(torch.zeros(6, dtype=torch.float64))
        opt = method([x], lr=1.0, samples=5)

        def closure(x: Tensor = x, feed: Any = feed) -> Tensor:
            x.grad = next(feed)
            return x.detach().sum()

        opt.step(closure)
        over = torch.maximum(-x.detach() - sane.amax(0), sane.amin(0) + x.detach())
        worst = max(worst, float(over.max().clamp(min=0)))
    return worst


@claim(
    "ClippedSGD",
    CLIPPING,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=instead("NormalizedSGD", momentum=0.0),
    seeds=2,
)
def without_noise_a_threshold_costs_a_start_and_no_more(method: Any, seed: int) -> float:
    """Without noise the clipping threshold touches lower-order terms only: gradient descent with any threshold is as
    fast in the end as without, and what it loses does not depend on how close it is to come.

    By how many steps the loss of steps against no threshold changes between ‖∇f‖ ≤ 1e-2 and 1e-6, for thresholds 1
    and 0.2; ½xᵀAx in 6 dimensions with curvatures 0.1 to 1, η = 1.
    """
    random = torch.Generator().manual_seed(seed)
    start = 3 * torch.randn(6, generator=random, dtype=torch.float64)
    curves = torch.logspace(-1, 0, 6, dtype=torch.float64)

    def counts(used: Any, most: float) -> list[float]:
        points = run(used, start, lambda _, x: curves * x, 300, lr=1.0, max_norm=most)
        slopes = (curves * points).norm(dim=1).tolist()
        return [steps_to(slopes, target) for target in (1e-2, 1e-6)]

    free = counts(get("ClippedSGD", "optimizer").target, 1e9)
    lost = [[n - m for n, m in zip(counts(method, most), free, strict=True)] for most in (1.0, 0.2)]
    return max(abs(late - soon) for soon, late in lost)
