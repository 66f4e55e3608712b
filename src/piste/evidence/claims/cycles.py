"""Rates that go up and down: one cycle, warm restarts, and a look at how large they may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ...rates import HessianFreeRate
from ...schedules import constant, cosine, one_cycle, piecewise, sgdr
from ..claim import at_least, at_most, claim, equal
from ..tuning import tuned
from .digit_runs import NEW, Schedule, answers, loss, run, shuffled
from .streams import STREAM, learn

SUPER = "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates"
RESTARTS = "SGDR: Stochastic Gradient Descent with Warm Restarts"
Make = Callable[..., Schedule]


def all_along(peak: float, *more: Any, **rest: Any) -> Schedule:
    return constant(peak)


class LastTwo:
    """The rate times the ratio of a step and the one before: what is left of the step, not what it changed by."""

    def __init__(self, params: Any) -> None:
        (self.param,) = params
        self.points: list[Tensor] = [self.param.detach().clone()]

    def update(self, lr: float) -> float:
        self.points.append(self.param.detach().clone())
        if len(self.points) < 3:
            return math.nan
        a, b, c = self.points[-3:]
        return lr * float((b - a).abs().sum() / (c - b).abs().sum())


@claim(
    "HessianFreeRate", SUPER, subject=HessianFreeRate, kind="identity", predicts=equal(1.0), tolerance=1e-9,
    wrong=LastTwo, seeds=3,
)  # fmt: skip
def three_points_of_sgd_tell_the_rate_of_their_curvature(method: Any, seed: int) -> float:
    """The weights of three steps tell a rate without Hessians: 1/h where the curvature is h, whatever the rate in use.

    The estimate over Σ|hθ| / Σ|h²θ| after two steps on a quadratic of 10 numbers, curvatures and start at random; and
    over 1/h where all are h. The one further from 1.
    """
    random = torch.Generator().manual_seed(seed)
    start, spread = (torch.randn(10, generator=random, dtype=torch.float64) for _ in range(2))
    ratios = []
    for h in (spread.exp(), spread[:1].exp().expand(10)):
        x, lr = torch.nn.Parameter(start.clone()), 0.1
        opt = get("SGD", "optimizer").target([x], lr=lr)
        estimate, found = method([x]), math.nan
        for _ in range(2):
            x.grad = h * x.detach()
            opt.step()
            found = estimate.update(lr)
        ratios.append(found * float((h * h * start).abs().sum() / (h * start).abs().sum()))
    return max(ratios, key=lambda ratio: abs(ratio - 1))


DIGITS = "a ReLU network of 32 units on 1000 digits, SGD with momentum 0.9 on batches of 50"


def end(seed: int, schedule: Schedule, steps: int) -> tuple[float, float]:
    """The rate with the lowest loss on new digits at the end, and this."""
    best = tuned(lambda lr: loss(run(seed, schedule, lr, [steps], momentum=0.9)[0]), (0.1, 0.2, 0.4))
    return best.rate, best.score


@lru_cache(16)
def usual(seed: int) -> tuple[float, float]:
    """480 steps, the rate a tenth after half and again after three quarters."""
    return end(seed, piecewise((1.0, 0.1, 0.01), (240, 360)), 480)


@lru_cache(32)
def cycled(method: Make, seed: int) -> tuple[float, float]:
    """60 steps."""
    return end(seed, method(1.0, 60), 60)


@claim(
    "one_cycle", SUPER, subject=one_cycle, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=all_along,
    seeds=12, cost="full", scale=f"{DIGITS}, 60 steps against 480",
)  # fmt: skip
def one_cycle_needs_an_eighth_of_the_steps(method: Make, seed: int) -> float:
    """One cycle with a large peak is about ten times as fast as a rate that falls in steps: 10,000 steps do better than
    80,000.

    The loss on 797 new digits after 60 steps over that after 480 at a rate that falls in steps, each with a rate of its
    own.
    """
    return cycled(method, seed)[1] / usual(seed)[1]


@claim(
    "one_cycle", SUPER, subject=one_cycle, kind="empirical", predicts=at_least(3.0), tolerance=0.0, wrong=all_along,
    seeds=12, cost="full", scale=f"{DIGITS}, 60 steps against 480",
)  # fmt: skip
def one_cycle_bears_much_larger_rates(method: Make, seed: int) -> float:
    """In one cycle the largest rate may be many times that of usual runs: 3 in place of 0.35.

    The best peak over the best rate of a run of eight times the steps that falls in steps. (Three times is the least
    that counts as many.)
    """
    return cycled(method, seed)[0] / usual(seed)[0]


ENDS = (40, 120, 280, 600)  # of runs of 40 steps, each twice as long as the last
RATES = 0.01 * 2.0 ** torch.arange(6, dtype=torch.float64)
WARM = f"{STREAM}, 600 steps of SGD with Nesterov momentum 0.9"


def gaps(seed: int, schedule: Schedule) -> Tensor:
    """At the ends of the runs, by rate."""
    return learn(seed, schedule, RATES, ENDS, optimizer="SGD", momentum=0.9, nesterov=True)[:-1]


@lru_cache(64)
def restarted(method: Make, seed: int) -> Tensor:
    """At the rate at which the product of all is least."""
    found = gaps(seed, method(1.0, 40, 2))
    return found[:, found.prod(0).nan_to_num(math.inf).argmin()]


@lru_cache(64)
def dropped(seed: int) -> Tensor:
    """Of one run whose rate drops to a fifth after 30, 60 and 80 per cent, at the rate that is best in the end."""
    found = gaps(seed, piecewise((1.0, 0.2, 0.04, 0.008), (180, 360, 480)))
    return found[:, found[-1].nan_to_num(math.inf).argmin()]


def rising(peak: float, period: int, mult: int) -> Schedule:
    """The same cycles upside down: each begins at zero and ends at the peak."""
    made = sgdr(1.0, period, mult)
    return lambda t: peak * (1 - made(t))


@claim("sgdr", RESTARTS, subject=sgdr, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=rising, seeds=12,
       cost="full", scale=WARM)  # fmt: skip
def warm_restarts_are_better_before_the_end(method: Make, seed: int) -> float:
    """With warm restarts a run is good at any time: at the end of each of its cycles it is better than one run whose
    rate drops in steps is then.

    The geometric mean of gap over gap after 40, 120 and 280 of 600 steps.
    """
    return float((restarted(method, seed) / dropped(seed))[:-1].log().mean().exp())


@claim("sgdr", RESTARTS, subject=sgdr, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=rising, seeds=12,
       cost="full", scale=WARM)  # fmt: skip
def warm_restarts_end_no_worse_than_steps(method: Make, seed: int) -> float:
    """Warm restarts cost nothing in the end: the last cycle ends as low as a run whose rate drops in steps, or lower.

    Gap over gap after 600 steps.
    """
    return float(restarted(method, seed)[-1] / dropped(seed)[-1])


def at_rest(peak: float, period: int, mult: int) -> Schedule:
    """One half of a cosine, and rest."""
    return cosine(peak, 3 * period)


@claim("sgdr", RESTARTS, subject=sgdr, kind="empirical", predicts=at_most(0.95), tolerance=0.0, wrong=at_rest,
       seeds=12, cost="full", scale=f"{DIGITS}, 300 steps, cycles of 20 and twice, 4 and 8 times as many")  # fmt: skip
def networks_before_restarts_are_better_together(method: Make, seed: int) -> float:
    """The networks at the ends of the last three cycles of one run make an ensemble that errs less than the last of
    them.

    The share of errors on 797 new digits by the mean of their distributions over that of the last, at its best rate. (A
    twentieth is the least that counts as less.)
    """
    rates, (x, labels) = (0.1, 0.2, 0.4), shuffled()
    best = tuned(
        lambda lr: loss(run(seed, method(1.0, 20, 2), lr, [300], momentum=0.9, nesterov=True)[0]), rates
    ).rate
    nets = run(seed, method(1.0, 20, 2), best, [60, 140, 300], momentum=0.9, nesterov=True)
    p = torch.stack([answers(net, x[NEW]).softmax(1) for net in nets])
    wrong = [(each.argmax(1) != labels[NEW]).sum() for each in (p.mean(0), p[-1])]
    return float(wrong[0] / wrong[1])
