"""Averages of the path of noisy descent on quadratics, where expectations are exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ... import functional
from ..._chain import Part
from ..._transform import chain
from ...schedules.averages import ema_warmup, share_of_the_past
from ...transforms.averaging import ema_weights, primal_averaging, switch_ema
from ...transforms.latest import latest_weights
from ..claim import at_most, claim, equal

POLYAK = "Acceleration of Stochastic Approximation by Averaging"
ANYTIME = "Anytime Pretraining: Horizon-Free Learning-Rate Schedules with Weight Averaging"
PRIMAL = "Smoothing DiLoCo with Primal Averaging for Faster Training of LLMs"
SWITCH = "Switch EMA: A Free Lunch for Better Flatness and Sharpness"
LATEST = "Stop Wasting My Time! Saving Days of ImageNet and BERT Training with Latest Weight Averaging"
Slope = Callable[[int, Tensor], Tensor]
Rate = Callable[[int], float]
H = torch.logspace(0, -2, 9, dtype=torch.float64)


def walk(
    part: Part, slope: Slope, start: Tensor, steps: int, lr: float | Rate, every: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """The point of descent and what the average shows, every so many steps; ``start``: a matrix."""
    rule, point = part.transform, start
    made = functional.init(chain(part), {"x": start})["x"]
    slots = {n: start.expand_as(made[n]) if s.kind == "weights" else made[n] for n, s in rule.slots.items()}
    for t in range(steps):
        hyper = {n: value(t) if callable(value) else value for n, value in part.hyper.items()}
        there = {"param": point, "step": t + 1, **slots, **hyper}
        u = -(lr(t) if callable(lr) else lr) * slope(t, point)
        u, *new = rule.fn(u, **{n: there[n] for n in (*rule.asks, *rule.hyper)})
        point, slots = point + u, dict(zip(slots, new, strict=True))
        if (t + 1) % every == 0:
            there = {"param": point, **slots, **hyper}
            assert rule.view_fn is not None
            yield point, rule.view_fn(**{n: there[n] for n in rule.view_asks})


def squares(
    part: Part, h: Tensor, steps: int, lr: float | Rate, start: Tensor | float = 0.0, noise: Tensor | float = 1.0,
    every: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """Of what E x² is made on ½ Σ hᵢ xᵢ², whose gradients carry white noise: of the point and of the average.

    All is linear: the first row goes from the start without noise, row t from 0 with the noise of step t alone, and the
    squares of what they come to add up to the expectation.
    """
    rows = torch.zeros(steps + 1, len(h), dtype=torch.float64)
    rows[0] = start

    def slope(t: int, x: Tensor) -> Tensor:
        g = h * x
        g[t + 1] += noise
        return g

    for point, shown in walk(part, slope, rows, steps, lr, every):
        yield point.square(), shown.square()


def last(pairs: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    *_, end = pairs
    return end


def raw(*given: Any, **more: Any) -> Part:
    """No average: the points themselves."""
    return ema_weights(0.0)


def steady(most: float, power: float) -> Rate:
    """A decay that does not change."""
    return lambda t: 0.99


@claim(
    "ema_warmup", POLYAK, subject=ema_warmup, kind="theorem", predicts=equal(1.0), tolerance=0.05, wrong=steady, seeds=1
)  # fmt: skip
def the_mean_of_all_points_has_the_least_variance_at_every_rate(
    method: Callable[..., Rate], seed: int
) -> float:
    """The mean of all points of SGD at a constant rate comes to the least variance that any method can reach on a
    linear problem, H⁻¹ΣH⁻¹/t, whatever the rate. (It is the exponential average whose decay warms up as 1 - 1/t.)

    The variance over this one after 1,500 steps, the one furthest from 1 of the rates 0.1, 0.5 and 1.5 and the
    curvatures 1 and 0.3; expectations are exact.
    """
    h, part = torch.tensor([1.0, 0.3], dtype=torch.float64), ema_weights(method(most=1 - 1e-12, power=1.0))
    ends = [last(squares(part, h, 1500, lr, every=1500))[1].sum(0) for lr in (0.1, 0.5, 1.5)]
    found = torch.cat([1500 * h.square() * end for end in ends])
    return float(found[(found - 1).abs().argmax()])


HORIZONS = (50, 100, 200, 400)
RATES = tuple(0.2 * 2 ** (i / 2) for i in range(7))
Left = tuple[Tensor, Tensor]


def left(rows: Tensor) -> Left:
    """What is left in the loss of the start, for a start at 1 in every direction, and of the noise."""
    return H * rows[0] / 2, H * rows[1:].sum(0) / 2


def cosine(lr: float, horizon: int) -> Rate:
    """To 0 at the horizon."""
    return lambda t: lr * (1 + math.cos(math.pi * t / horizon)) / 2


@lru_cache(64)
def decayed(lr: float, horizon: int) -> Left:
    """At the end of a cosine to 0."""
    return left(last(squares(raw(), H, horizon, cosine(lr, horizon), 1.0, H.sqrt() / 2, horizon))[0])


@lru_cache(64)
def averaged(method: Callable[..., Rate], share: float, lr: float) -> list[Left]:
    """At all horizons, of the average of one run at a constant rate."""
    pairs = squares(ema_weights(method(share=share)), H, HORIZONS[-1], lr, 1.0, H.sqrt() / 2, HORIZONS[0])
    shown = [left(rows) for _, rows in pairs]
    return [shown[t // HORIZONS[0] - 1] for t in HORIZONS]


def short(share: float) -> Rate:
    """An average that hardly reaches back."""
    return share_of_the_past(share=share / 40)


@claim(
    "share_of_the_past", ANYTIME, subject=share_of_the_past, kind="empirical", predicts=at_most(1.1), tolerance=0.0,
    wrong=short, seeds=4, scale="noisy quadratics of 9 numbers, condition number 100, 50 to 400 steps, exact means",
)  # fmt: skip
def one_averaged_run_tracks_tuned_decay_at_four_horizons(method: Callable[..., Rate], seed: int) -> float:
    """A constant rate whose weights are averaged over a share of the time that has passed is, at every moment, about as
    good as a rate that falls along a cosine to zero there: no horizon has to be known.

    The geometric mean over four horizons of loss over loss: of one run at the rate and the share (4, 10 or 20 %) that
    are best for this mean, and of four runs with decay, each at a rate of its own. A tenth is taken for about as good.
    """
    start = torch.randn(len(H), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).square()

    def loss(found: Left) -> float:
        return float((start * found[0] + found[1]).sum())

    best = [min(loss(decayed(lr, t)) for lr in RATES) for t in HORIZONS]
    tried = [averaged(method, share, lr) for share in (0.04, 0.1, 0.2) for lr in RATES]
    ratios = [[math.log(loss(found) / b) for found, b in zip(one, best, strict=True)] for one in tried]
    return math.exp(min(sum(one) for one in ratios) / len(HORIZONS))


def between(averaging: float, interpolation: float) -> Part:
    """Gradients halfway between both sequences."""
    return primal_averaging(averaging, 0.5)


@claim(
    "primal_averaging", PRIMAL, subject=primal_averaging, kind="identity", predicts=equal(0.0), tolerance=1e-10,
    wrong=between, seeds=3,
)  # fmt: skip
def primal_averaging_holds_both_momentums(method: Callable[..., Part], seed: int) -> float:
    """Around SGD, primal averaging is heavy ball where gradients are taken at the average, and Nesterov's momentum
    where they are taken as far from it as the average moves; both at the rate over 1 - β.

    The largest difference of the gradients' points from torch's SGD over 40 steps on a quadratic, β = 0.8.
    """
    h, beta, lr = H.unsqueeze(0), 0.8, 0.1
    start = torch.randn(1, len(H), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    worst = 0.0
    for nesterov in (False, True):
        w = torch.nn.Parameter(start.clone())
        opt = torch.optim.SGD([w], lr=lr, momentum=beta, nesterov=nesterov)
        part = method(beta, beta if nesterov else 1.0)
        for point, _ in walk(part, lambda _, x: h * x, start, 40, lr / (1 - beta)):
            w.grad = h * w.detach()
            opt.step()
            worst = max(worst, float((w.detach() - point).abs().max()))
    return worst


def unswitched(decay: float, every: int) -> Part:
    """The points of SGD."""
    return raw()


@claim(
    "switch_ema",
    SWITCH,
    subject=switch_ema,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-12,
    wrong=unswitched,
    seeds=1,
)
def a_switched_average_varies_less_than_an_average_and_this_less_than_sgd(
    method: Callable[..., Part], seed: int
) -> float:
    """Under noise on a quadratic the weights of Switch EMA vary less than those of an exponential average, and these
    less than those of SGD.

    The largest ratio of stationary variances, of Switch EMA over EMA and of EMA over SGD, when an epoch ends; β = 0.9
    and 0.98, epochs of 5, 25 and 50 steps, curvatures 1 and 0.1, the rate 0.3; expectations are exact.
    """
    h, worst = torch.tensor([1.0, 0.1], dtype=torch.float64), 0.0
    for decay in (0.9, 0.98):
        single, mean = (rows.sum(0) for rows in last(squares(ema_weights(decay), h, 400, 0.3, every=400)))
        worst = max(worst, float((mean / single).max()))
        for epoch in (5, 25, 50):
            switched = last(squares(method(decay, epoch), h, 400, 0.3, every=400))[1].sum(0)
            worst = max(worst, float((switched / mean).max()))
    return worst


@claim(
    "latest_weights", LATEST, subject=latest_weights, kind="empirical", predicts=at_most(0.73), tolerance=0.0,
    wrong=raw, seeds=4, scale="noisy quadratics of 9 numbers, condition number 100, 30 epochs of 12 steps, exact means",
)  # fmt: skip
def the_mean_of_the_latest_checkpoints_is_epochs_ahead(method: Callable[..., Part], seed: int) -> float:
    """The mean of the latest six checkpoints reaches a loss in the middle of the run dozens of epochs earlier than the
    run itself.

    The epoch in which the average has the loss that the run has after two thirds of its epochs, as a share of them; at
    the rate that is best for the run's end, a cosine to 0. Dozens of 90 epochs are two dozens at least: 1 - 24/90.
    """
    start = torch.randn(len(H), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).square()
    runs = [
        [[float((start * a + b).sum()) for a, b in map(left, pair)] for pair in checkpoints(method, lr)]
        for lr in RATES
    ]
    run = min(runs, key=lambda pairs: pairs[-1][0])
    target = run[19][0]
    return next((i for i, (_, shown) in enumerate(run, 1) if shown <= target), 31) / 20


@lru_cache(16)
def checkpoints(method: Callable[..., Part], lr: float) -> list[tuple[Tensor, Tensor]]:
    """At the ends of 30 epochs of 12 steps, a cosine to 0."""
    return list(squares(method(6, 12), H, 360, cosine(lr, 360), 1.0, H.sqrt() / 2, 12))
