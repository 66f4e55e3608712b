"""Rates for data that change: a target that drifts, a model that goes on with other data."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from ..._registry import get
from ...schedules import constant, cosine, drifting, inverse_sqrt, rewarm
from ..claim import at_least, at_most, between, claim, equal
from .streams import STREAM, Stream

SHIFT = "Learning Rate Schedules in the Presence of Distribution Shift"
REWARM = "Continual Pre-Training of Large Language Models: How to (re)warm your model?"
Schedule = Callable[[int], float]
Make = Callable[..., Schedule]
DIMENSION, BATCH, NOISE, START = 10, 4, 1.0, 4.0


def still(t: int) -> float:
    return 0.0


def unaware(dimension: int, batch: int, noise: float, drift: Schedule, start: float) -> Schedule:
    """The best rate for a target that stays."""
    return drifting(dimension, batch, noise, still, start)


def bursts(t: int) -> float:
    """Hardly any drift, and twice 20 steps of much."""
    return 0.5 if 100 <= t < 120 or 250 <= t < 270 else 0.01


def followed(seed: int, schedule: Schedule, runs: int) -> Tensor:
    """‖θ - θ*‖² before every of 400 steps of SGD on a stream of linear regression whose target moves at random, in
    bursts: the mean of so many runs."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    x = torch.nn.Parameter(torch.zeros(runs, DIMENSION, dtype=torch.float64))
    target, apart = math.sqrt(START / DIMENSION) * normal(runs, DIMENSION), []
    opt = get("SGD", "optimizer").target([x], lr=1.0)
    for t in range(400):
        off = x.detach() - target
        apart.append(off.square().sum(1).mean())
        rows = normal(runs, BATCH, DIMENSION)
        errors = (rows @ off.unsqueeze(2)) - NOISE * normal(runs, BATCH, 1)
        x.grad = (rows.mT @ errors).squeeze(2) / BATCH
        opt.param_groups[0]["lr"] = schedule(t)
        opt.step()
        target = target + bursts(t) / math.sqrt(DIMENSION) * normal(runs, DIMENSION)
    return torch.stack(apart)


@claim("drifting", SHIFT, subject=drifting, kind="theorem", predicts=at_least(1.0), tolerance=0.0, wrong=unaware,
       seeds=3)  # fmt: skip
def the_rate_rises_where_the_target_moves(method: Make, seed: int) -> float:
    """The best rate of linear regression goes up where the distribution shifts.

    The rate after a jump over the one before, the smallest of 50 problems: 2 to 30 numbers, batches of 1 to 16, noise
    of 0.1 to 2, a jump by half of the first distance or more after 5 to 200 steps.
    """
    random, least = torch.Generator().manual_seed(seed), math.inf
    for _ in range(50):
        a, b, c, d, e = torch.rand(5, generator=random, dtype=torch.float64).tolist()
        when = 5 + int(195 * a)

        def jump(t: int, when: int = when, far: float = 0.5 + e) -> float:
            return far if t == when else 0.0

        made = method(2 + int(29 * b), 1 + int(16 * c), 0.1 * 20**d, jump, 1.0)
        least = min(least, made(when + 1) / made(when))
    return least


@claim("drifting", SHIFT, subject=drifting, kind="theorem", predicts=at_most(1.0), tolerance=0.01, wrong=unaware,
       seeds=3, in_mean=True)  # fmt: skip
def rates_that_follow_the_drift_have_the_least_regret(method: Make, seed: int) -> float:
    """The schedule that knows the drift has the least regret of all in online linear regression.

    The sum of squared distances from the target over 400 steps, over the least of four constant rates, four that fall
    as 1/t and four cosines; 50 runs, a drift in two bursts. (The tolerance is for the draws.)
    """
    mine = followed(seed, method(DIMENSION, BATCH, NOISE, bursts, START), 50).sum()
    return float(mine) / rivals(seed)


@lru_cache(16)
def rivals(seed: int) -> float:
    others: list[Schedule] = []
    for lr in (0.02, 0.05, 0.1, 0.2):
        others += [constant(lr), lambda t, lr=lr: 1 / (4 + 5 * lr * t), cosine(2 * lr, 400)]
    return min(float(followed(seed, other, 50).sum()) for other in others)


@claim("drifting", SHIFT, subject=drifting, kind="theorem", predicts=equal(1.0), tolerance=0.03, wrong=unaware, seeds=8,
       in_mean=True)  # fmt: skip
def the_distance_from_a_drifting_target_is_known_beforehand(method: Make, seed: int) -> float:
    """For linear regression the expected squared distance from the target is known for every schedule, and with it the
    best: v at the rate v / (v (1 + (d+1)/B) + σ²d/B).

    The sum of v, as the rates tell it, over that of the squared distances seen in 200 runs of 400 steps, with the drift
    in two bursts. (The tolerance is for the draws.)
    """
    made = method(DIMENSION, BATCH, NOISE, bursts, START)
    rates = torch.tensor([made(t) for t in range(400)], dtype=torch.float64)
    told = rates * NOISE**2 * DIMENSION / BATCH / (1 - rates * (1 + (DIMENSION + 1) / BATCH))
    return float(told.sum() / followed(seed, made, 200).sum())


PEAK, LENGTH = 0.05, 400
Net = tuple[Tensor, Tensor]


def later(seed: int, moved: bool) -> Stream:
    """Samples of the old teacher that were not seen, or of one that is half the old and half another."""
    p, fresh = Stream(seed), Stream(seed + 500)
    p.random = fresh.random
    if moved:
        w, v = ((a + b) / math.sqrt(2) for a, b in zip(p.teacher, fresh.teacher, strict=True))
        p.teacher = (w, v)
    return p


def go_on(p: Stream, net: Net, schedule: Schedule, every: int = LENGTH) -> tuple[Net, list[float]]:
    """AdamW on a stream: the networks after it, and their gaps on it after every so many steps."""
    params, gaps = [torch.nn.Parameter(part.clone()) for part in net], []
    opt = get("AdamW", "optimizer").target(params, lr=1.0, weight_decay=0.0)
    for t in range(1, LENGTH + 1):
        w, v = (x.detach() for x in params)
        for x, slope in zip(params, p.slopes(w, v, 8), strict=True):
            x.grad = slope
        opt.param_groups[0]["lr"] = schedule(t - 1)
        opt.step()
        if t % every == 0:
            gaps.append(float(p.gap(params[0].detach()[None], params[1].detach()[None])))
    w, v = (x.detach() for x in params)
    return (w, v), gaps


@lru_cache(16)
def pretrained(seed: int) -> Net:
    """After 400 steps along a cosine to a tenth."""
    p = Stream(seed)
    return go_on(p, p.start, cosine(PEAK, LENGTH, PEAK / 10))[0]


def low(peak: float, steps: int, warmup: int, end: float = 0.1) -> Schedule:
    """The rate of the end of pre-training."""
    return constant(end * peak)


def by_the_root(peak: float, steps: int, warmup: int, end: float = 0.1) -> Schedule:
    """As of the first transformers: the shorter the warm-up, the sooner the rate falls."""
    return inverse_sqrt(peak, max(warmup, 1))


AGAIN = f"{STREAM}, AdamW, 400 steps of pre-training and 400 more, on batches of 8"


@claim("rewarm", REWARM, subject=rewarm, kind="empirical", predicts=at_least(1.2), tolerance=0.0, wrong=low, seeds=5,
       scale=AGAIN)  # fmt: skip
def rewarming_hurts_at_first_even_on_the_old_data(method: Make, seed: int) -> float:
    """Raising the rate again raises the loss at first, also where the data stay what they were.

    The largest gap over the next 400 steps of the same stream over that with the low rate of the end of pre-training.
    (A fifth more is the least that counts as higher.)
    """
    worst = [
        max(go_on(later(seed, False), pretrained(seed), schedule, every=5)[1])
        for schedule in (method(PEAK, LENGTH, 4), low(PEAK, LENGTH, 4))
    ]
    return worst[0] / worst[1]


@claim("rewarm", REWARM, subject=rewarm, kind="empirical", predicts=at_most(0.95), tolerance=0.0, wrong=low, seeds=5,
       scale=AGAIN)  # fmt: skip
def rewarmed_models_are_better_on_the_new_data_in_the_end(method: Make, seed: int) -> float:
    """On new data a rate that rises and falls again ends below the low rate of the end of pre-training.

    The gap after 400 steps on another stream, over that with the low rate. (A twentieth is the least that counts as
    lower.)
    """
    ends = [
        go_on(later(seed, True), pretrained(seed), made(PEAK, LENGTH, 4))[1][-1] for made in (method, low)
    ]
    return ends[0] / ends[1]


@claim("rewarm", REWARM, subject=rewarm, kind="empirical", predicts=between(0.95, 1.05), tolerance=0.0,
       wrong=by_the_root, seeds=10, scale=AGAIN)  # fmt: skip
def the_length_of_the_warm_up_hardly_matters(method: Make, seed: int) -> float:
    """How long the rate takes to rise again hardly matters in the end, and it may as well jump.

    The gap after 400 steps on another stream with a warm-up of 8 of them, the paper's longest share, over that with
    none. (A twentieth counts as hardly.)
    """
    ends = [
        go_on(later(seed, True), pretrained(seed), method(PEAK, LENGTH, warmup))[1][-1] for warmup in (8, 0)
    ]
    return ends[0] / ends[1]
