"""Averages of the path of a network that learns digits in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from ..._chain import Part
from ...transforms.averaging import ema_weights, swa, switch_ema
from ...transforms.latest import latest_weights
from ..claim import at_most, claim, equal
from .merging import Network, random_net
from .turned_digits import LEARNED, TEST, cost, part
from .weight_averages import LATEST, SWITCH, Rate, raw, walk

SWA = "Averaging Weights Leads to Wider Optima and Better Generalization"
WIDTH, BATCH, DECAY, SPOTS = 32, 20, 5e-4, 0.4
EPOCH, EPOCHS = 500 // BATCH, 30
SIZES = (WIDTH * 64, WIDTH, 10 * WIDTH, 10)


def flat(net: Network) -> Tensor:
    """A network as a matrix of one row."""
    return torch.cat([p.flatten() for p in net]).unsqueeze(0)


def network(weights: Tensor) -> Network:
    w, b, v, c = weights.flatten().split(SIZES)
    return w.view(WIDTH, 64), b, v.view(10, WIDTH), c


def batches(seed: int) -> Callable[[int, Tensor], Tensor]:
    """Gradients of the cross entropy of 500 digits with weight decay, 25 of them at a time, all in every epoch."""
    (x, labels), random = part(0.0, LEARNED), torch.Generator().manual_seed(seed)
    shown, order = torch.nn.functional.one_hot(labels, 10).double(), torch.arange(len(x))

    def slope(t: int, weights: Tensor) -> Tensor:
        nonlocal order
        if t % EPOCH == 0:
            order = torch.randperm(len(x), generator=random)
        rows = order[t % EPOCH * BATCH :][:BATCH]
        w, b, v, c = network(weights)
        seen = x[rows] + SPOTS * torch.randn(BATCH, 64, generator=random, dtype=torch.float64)
        before = seen @ w.mT + b
        hidden = before.clamp_min(0)
        by_out = (torch.softmax(hidden @ v.mT + c, 1) - shown[rows]) / BATCH
        by_hidden = (by_out @ v) * (before > 0)
        slopes = (by_hidden.mT @ seen, by_hidden.sum(0), by_out.mT @ hidden, by_out.sum(0))
        return flat(slopes) + DECAY * weights

    return slope


def learn(average: Part, seed: int, epochs: int, lr: float | Rate) -> Iterator[tuple[Tensor, Tensor]]:
    """The network and what the average shows, after each epoch."""
    return walk(average, batches(seed + 50), flat(random_net(seed, WIDTH)), epochs * EPOCH, lr, EPOCH)


def loss(weights: Tensor, rows: slice) -> float:
    return cost(network(weights), *part(0.0, rows))


SCALE = (
    "a ReLU network of 32 hidden units, 500 digits of 8 × 8 pixels with noise of 0.4, 30 epochs of 25 batches"
)
LATER = 23 * EPOCH  # about three quarters of the run
Averaging = Callable[..., Part]


def usual(t: int) -> float:
    """The paper's usual run: 1 for half of the steps, linearly to 0.01 at nine tenths, and that."""
    share = t / (EPOCHS * EPOCH)
    return min(1.0, max(0.01, 1 - 0.99 * (share - 0.5) / 0.4))


def high(t: int) -> float:
    """As the usual one until half the rate is left, which stays."""
    return max(0.5, usual(t))


def early(start: int, every: int) -> Part:
    """The mean of all epochs from the first."""
    return swa(1, every)


@lru_cache(16)
def annealed(seed: int) -> Tensor:
    *_, (end, _) = learn(raw(), seed, EPOCHS, usual)
    return end


@lru_cache(16)
def mean(method: Averaging, seed: int) -> tuple[Tensor, Tensor]:
    """The last network of a run whose rate stays high, and the mean of those at the ends of its last eight epochs."""
    *_, (end, shown) = learn(method(LATER, EPOCH), seed, EPOCHS, high)
    return end, shown


@claim(
    "swa", SWA, subject=swa, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=early, seeds=20,
    scale=SCALE, cost="full",
)  # fmt: skip
def the_mean_at_a_high_rate_generalizes_better_than_the_end_of_decay(method: Averaging, seed: int) -> float:
    """The mean of points that SGD visits at a high constant rate generalizes better than where the same budget leads
    when the rate is decayed.

    The loss on 797 other digits of the mean of eight epochs' ends, over that of the usual run's end; the first rate
    is 1, the best of 0.2, 0.5 and 1 for the usual run.
    """
    return loss(mean(method, seed)[1], TEST) / loss(annealed(seed), TEST)


@claim(
    "swa", SWA, subject=swa, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=early, seeds=20,
    scale=SCALE, cost="full",
)  # fmt: skip
def the_mean_lies_in_a_wider_region_than_the_end_of_decay(method: Averaging, seed: int) -> float:
    """The mean of points that SGD visits at a high constant rate lies in a wider region of the training loss than where
    the same budget leads when the rate is decayed.

    By how much the loss rises at the distance 5 along twenty random rays, on average, over the same along the same rays
    from the usual run's end.
    """
    random = torch.Generator().manual_seed(seed)
    rays = torch.randn(20, 1, sum(SIZES), generator=random, dtype=torch.float64)
    rays *= 5 / rays.norm(dim=-1, keepdim=True)

    def rise(weights: Tensor) -> float:
        return sum(loss(weights + ray, LEARNED) for ray in rays) / len(rays) - loss(weights, LEARNED)

    return rise(mean(method, seed)[1]) / rise(annealed(seed))


@claim(
    "swa", SWA, subject=swa, kind="theorem", predicts=equal(2.0), tolerance=0.1, wrong=raw, seeds=3
)  # fmt: skip
def the_mean_answers_as_the_ensemble_to_second_order(method: Averaging, seed: int) -> float:
    """A network with the mean of weights answers as the ensemble of the networks does up to the square of their
    distance, and single ones differ from it in the first order: the mean stands for an ensemble.

    The order in which the largest difference of logits vanishes with the distance, from 10⁻³ and a half of it; six
    tanh networks around one.
    """
    random = torch.Generator().manual_seed(seed)
    x, middle, *ways = (torch.randn(20, 20, generator=random, dtype=torch.float64) for _ in range(8))

    def logits(weights: Tensor) -> Tensor:
        return (x @ weights).tanh() @ weights

    gaps = []
    for far in (1e-3, 5e-4):
        points = [middle + far * way for way in ways]
        steps = [before - after for before, after in zip([middle, *points], points, strict=False)]
        *_, (_, shown) = walk(method(1, 1), lambda t, _, steps=steps: steps[t], middle, len(points), 1.0)
        ensemble = torch.stack([logits(point) for point in points]).mean(0)
        gaps.append((logits(shown) - ensemble).abs().max())
    return float((gaps[0] / gaps[1]).log2())


def at_every_step(decay: float, every: int) -> Part:
    """Each step ends at the average."""
    return switch_ema(decay, 1)


@claim(
    "switch_ema", SWITCH, subject=switch_ema, kind="empirical", predicts=at_most(1.0), tolerance=0.0,
    wrong=at_every_step, seeds=4, scale=SCALE.replace("30 epochs", "10 epochs"),
)  # fmt: skip
def switching_learns_faster_than_averaging_alone(method: Averaging, seed: int) -> float:
    """Training on from the exponential average after each epoch learns faster than when the average is only looked at.

    The loss on other digits of the average after 10 epochs, over that without the switch, each with the best of three
    constant rates; β = 0.98, an average of two epochs. (Where the average lags behind, each switch goes back by the
    lag; the authors' epochs are half as long as their average, too.)
    """

    def best(average: Part) -> float:
        return min(loss([*learn(average, seed, 10, lr)][-1][1], TEST) for lr in (0.5, 1.0, 2.0))

    return best(method(0.98, EPOCH)) / best(ema_weights(0.98))


def all_of_them(k: int, every: int) -> Part:
    """The mean of all checkpoints."""
    return latest_weights(EPOCHS, every)


@claim(
    "latest_weights", LATEST, subject=latest_weights, kind="empirical", predicts=at_most(0.73), tolerance=0.0,
    wrong=all_of_them, seeds=30, scale=SCALE, cost="full",
)  # fmt: skip
def the_mean_of_the_latest_checkpoints_is_epochs_ahead_on_digits(method: Averaging, seed: int) -> float:
    """The mean of the latest six checkpoints reaches a loss in the middle of the run dozens of epochs earlier than the
    run itself.

    The epoch in which the average has the least training loss of the run's first 20 epochs, as a share of 20, at a
    constant rate. Dozens of 90 epochs are two dozens at least: 1 - 24/90.
    """
    losses = [[loss(w, LEARNED) for w in pair] for pair in learn(method(6, EPOCH), seed, EPOCHS, 1.0)]
    target = min(single for single, _ in losses[:20])
    return next((i for i, (_, shown) in enumerate(losses, 1) if shown <= target), EPOCHS + 1) / 20
