"""Whole runs under a schedule: cooldowns, and decays for a budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...schedules import constant, cosine, linear, one_cycle, piecewise, polynomial, uba, wsd
from ..claim import at_most, between, claim, equal
from .streams import STREAM, learn

COOLDOWN = "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations"
UBA = "Stepsize anything: A unified learning rate schedule for budgeted-iteration training"
Schedule = Callable[[int], float]
Make = Callable[..., Schedule]
RATES = 0.0125 * 2.0 ** torch.arange(5, dtype=torch.float64)


def ends(seed: int, schedule: Schedule, steps: int) -> Tensor:
    """The gaps by rate."""
    return learn(seed, schedule, RATES, [steps])[0]


def all_along(peak: float, steps: int, *more: Any, **rest: Any) -> Schedule:
    return constant(peak)


def falling(peak: float, steps: int, *more: Any, **rest: Any) -> Schedule:
    return cosine(peak, steps)


@claim(
    "wsd", COOLDOWN, subject=wsd, kind="identity", predicts=equal(0.0), tolerance=0.0, wrong=falling, seeds=2
)
def one_constant_run_serves_every_length(method: Make, seed: int) -> float:
    """A constant rate with a cooldown does not know how long the run will be: runs of every length share their steps
    until the first of them cools down, so that one run and its branches are enough for all.

    The largest difference, relative, of gaps after 80 steps among runs of 100, 200 and 400 that cool down over their
    last fifth.
    """
    first, *others = (
        learn(seed, method(1.0, steps, steps // 5), RATES, [80])[0] for steps in (100, 200, 400)
    )
    return max(float((other / first - 1).abs().max()) for other in others)


@claim(
    "wsd", COOLDOWN, subject=wsd, kind="empirical", predicts=at_most(1.05), tolerance=0.0, wrong=all_along, seeds=8,
    cost="full", scale=f"{STREAM}, AdamW, 1200 steps, the last fifth a cooldown",
)  # fmt: skip
def a_cooldown_ends_where_the_cosine_does(method: Make, seed: int) -> float:
    """A constant rate that falls over the last fifth as 1 - √x ends as low as a cosine made for the same length.

    The gap over that with the cosine, each at its best rate. (A twentieth more counts as the same.)
    """
    return float(ends(seed, method(1.0, 1200, 240), 1200).min() / ends(seed, cosine(1.0, 1200), 1200).min())


@claim(
    "wsd", COOLDOWN, subject=wsd, kind="empirical", predicts=between(0.0, 1.0), tolerance=0.0, wrong=all_along,
    seeds=16,
    cost="full",
    scale=f"{STREAM}, AdamW, 600 steps, the last fifth a cooldown or averaged",
)  # fmt: skip
def averages_make_up_for_a_part_of_the_cooldown(method: Make, seed: int) -> float:
    """Without a cooldown the average of the last weights of the constant run is better than the last ones, but not as
    good as a cooldown.

    The share of the cooldown's gain that the average over the last fifth has, at the rate at which the cooldown ends
    lowest.
    """
    cooled = ends(seed, method(1.0, 600, 120), 600)
    last, mean = learn(seed, constant(1.0), RATES, [600], averaged=120)
    best = cooled.argmin()
    return float((last - mean)[best] / (last - cooled)[best])


def a_power(peak: float, steps: int, phi: float = 1.0, end: float = 0.0) -> Schedule:
    """The part that is left, to the power of φ / 2."""
    return polynomial(peak, steps, max(phi / 2, 1e-9), end)


@claim("uba", UBA, subject=uba, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=a_power, seeds=2)
def one_number_leads_from_constant_rates_to_cosines(method: Make, seed: int) -> float:
    """One number φ unifies schedules: at φ = 2 the rate falls as half a cosine, at φ = 0 it stays; half way it has
    2 / (2 + φ) of its range.

    The largest difference from these values, of a peak of 1, for 20 lengths and φ up to 10.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    for _ in range(20):
        steps = 2 * int(torch.randint(5, 500, (), generator=random))
        phi = 10 * float(torch.rand((), generator=random, dtype=torch.float64))
        half = cosine(1.0, steps)
        worst = max(
            worst,
            abs(method(1.0, steps, phi)(steps // 2) - 2 / (2 + phi)),
            *(abs(method(1.0, steps, 2.0)(t) - half(t)) for t in range(steps)),
            *(abs(method(1.0, steps, 0.0)(t) - 1) for t in range(steps)),
        )
    return worst


@lru_cache(64)
def usual(seed: int, steps: int) -> list[float]:
    """The gaps of a line, half a cosine, steps down to a tenth and a hundredth, and one cycle."""
    drops = piecewise((1.0, 0.1, 0.01), (steps // 2, 3 * steps // 4))
    others = linear(1.0, 0.0, steps), cosine(1.0, steps), drops, one_cycle(1.0, steps)
    return [float(ends(seed, other, steps).min()) for other in others]


@claim(
    "uba", UBA, subject=uba, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=all_along, seeds=8,
    cost="full", scale=f"{STREAM}, AdamW, 100, 200 and 400 steps",
)  # fmt: skip
def uba_ends_below_common_schedules_at_every_budget(method: Make, seed: int) -> float:
    """The unified schedule beats the usual ones, whatever the budget of steps.

    Its gap for φ = 1 over the smallest of four others (a line, half a cosine, steps, one cycle), each at its best rate;
    the largest of three budgets.
    """
    return max(
        float(ends(seed, method(1.0, steps), steps).min() / min(usual(seed, steps)))
        for steps in (100, 200, 400)
    )
