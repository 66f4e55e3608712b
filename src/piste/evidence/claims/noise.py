"""Noise with heavy tails, and clipping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..._transform import chain
from ...transforms.clipping import clip_by_value
from ...transforms.decay import descend
from ..claim import at_least, at_most, claim, equal
from ..methods import of_chain
from ..tuning import tuned
from .stochastic import run
from .wrong import scaled

ATTENTION = "Why are Adaptive Methods Good for Attention Models?"
CLIPPING = "Revisiting Gradient Clipping: Stochastic bias and tight convergence guarantees"
clipped = of_chain(lambda lr: chain(clip_by_value(1.0), descend(lr)))


@claim(
    "clip_by_value",
    CLIPPING,
    kind="theorem",
    predicts=at_least(0.2),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=clipped,
    in_mean=True,
    seeds=3,
)
def clippings_bias_stays_as_the_rate_vanishes(method: Any, seed: int) -> float:
    """Under noise that is not symmetric clipped SGD stays at a distance from the minimum that no smaller rate removes.

    |x̄| over the last 500 of 1,500 steps of the rate 0.01 and 64 runs; f = x²/2, noise is +3 once in four times and -1
    else, the threshold 1.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.nn.Parameter(torch.zeros(64, dtype=torch.float64))
    opt, total = method([x], lr=0.01), 0.0
    for t in range(1500):
        x.grad = x.detach() + torch.where(torch.rand(64, generator=random) < 0.25, 3.0, -1.0)
        opt.step()
        total += float(x.detach().mean()) if t >= 1000 else 0.0
    return abs(total / 500)


def clipped_at(params: Any, lr: float, most: float) -> Any:
    return of_chain(lambda lr, most: chain(clip_by_value(most), descend(lr)))(params, lr=lr, most=most)


@claim(
    "clip_by_value",
    CLIPPING,
    kind="theorem",
    predicts=equal(4.0),
    tolerance=0.6,
    wrong=lambda params, lr, most: clipped_at(params, lr, 1.0),
    subject=clipped_at,
    in_mean=True,
    seeds=4,
)
def clippings_bias_falls_inversely_to_the_threshold(method: Any, seed: int) -> float:
    """The gradient at which clipped SGD stays is of the order of σ²/c, in the worst case, once the threshold c exceeds
    the noise's deviation σ.

    The distance from the minimum over the last 300 of 400 steps of the rate 0.02 and 512 runs for c = 1, relative to
    c = 4; f = x²/2 and noise of variance 1 that is 2c once in 4c² + 1 times and -1/2c else, where it is 1/4c.
    """
    random = torch.Generator().manual_seed(seed)
    floors = []
    for c in (1.0, 4.0):
        x = torch.nn.Parameter(torch.full((512,), 0.25 / c, dtype=torch.float64))
        opt, total = method([x], lr=0.02, most=c), 0.0
        for t in range(400):
            rare = torch.rand(512, generator=random, dtype=torch.float64) < 1 / (4 * c * c + 1)
            x.grad = x.detach() + torch.where(rare, 2 * c, -0.5 / c)
            opt.step()
            total += float(x.detach().mean()) if t >= 100 else 0.0
        floors.append(abs(total / 300))
    return floors[0] / floors[1]


def student(seed: int, tail: float) -> Callable[..., Tensor]:
    """Numbers of Student's law of so many degrees of freedom, one after another."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        squares = (
            torch._standard_gamma(torch.full(shape, tail / 2, dtype=torch.float64), generator=random) * 2
        )
        return torch.randn(shape, generator=random, dtype=torch.float64) / (squares / tail).sqrt()

    return draw


clipping = of_chain(lambda lr: chain(clip_by_value(1.0), descend(lr)))


@claim(
    "clip_by_value",
    ATTENTION,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=clipping,
    seeds=4,
    scale="½‖x‖² in 5 dimensions, Student's noise of 1.5 degrees of freedom, 200 steps with linear decay, 128 runs",
)
def clipping_helps_where_the_variance_is_infinite(method: Any, seed: int) -> float:
    """Where the noise's variance is infinite clipped SGD converges in the mean and SGD does not.

    The mean of f at the last point, relative to SGD, the rates of both tuned.
    """

    def loss(used: Any, lr: float) -> float:
        noise = student(seed, 1.5)
        start = torch.ones(128, 5, dtype=torch.float64)
        end = run(used, start, lambda _, x: x + noise(128, 5), 200, lambda t: 1 - t / 200, lr=lr)[-1]
        return float(0.5 * end.square().sum(1).mean())

    plain, rates = get("SGD", "optimizer").target, (0.003, 0.012, 0.048)
    return tuned(lambda lr: loss(method, lr), rates).score / tuned(lambda lr: loss(plain, lr), rates).score


def fixed(params: Any, lr: float, most: float) -> Any:
    """With a threshold that does not grow."""
    return of_chain(lambda lr: chain(clip_by_value(1.0), descend(lr)))(params, lr=lr)


@claim(
    "clip_by_value",
    ATTENTION,
    kind="empirical",
    predicts=at_most(-2 / 3),
    tolerance=0.1,
    wrong=fixed,
    subject=clipped_at,
    seeds=6,
    scale="x²/2, Pareto's noise of index 1.6 less its mean, 100 and 1,600 steps, 1,024 runs",
)
def clipping_has_the_optimal_rate_for_the_moment_that_exists(method: Any, seed: int) -> float:
    """Where noise has a moment of the order α < 2, clipped SGD with η_t ∝ 1/t and thresholds ∝ t^(1/α) brings strongly
    convex functions to within O(T^-2(α-1)/α).

    The power of T by which the mean of f falls from 100 to 1,600 steps, at the average of points weighted by t; the
    moment of order α = 1.5 exists.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.nn.Parameter(torch.ones(1024, dtype=torch.float64))
    opt, total, losses = method([x], lr=1.0, most=1.0), torch.zeros(1024, dtype=torch.float64), {}
    for t in range(1, 1601):
        total += t * x.detach()
        for group in opt.param_groups:
            group["lr"] = 4 / (t + 3)
            if "most" in group:
                group["most"] = 2 * t ** (2 / 3)
        x.grad = (
            x.detach() + torch.rand(1024, generator=random, dtype=torch.float64) ** (-1 / 1.6) - 1.6 / 0.6
        )
        opt.step()
        losses[t] = float((2 * total / (t * (t + 1))).square().mean())
    return math.log(losses[1600] / losses[100]) / math.log(16.0)
