"""Networks of one input: knots and noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, between, claim
from .wrong import scaled

MEAN_FIELD = "Mean-field Analysis of Piecewise Linear Solutions for Wide ReLU Networks"
NOISY = "Noisy Interpolation Learning with Shallow Univariate ReLU Networks"
Interpolant = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def chords(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The knots and values of the polygon through the points, level before the first and after the last."""
    ends = torch.tensor([0.0, 1.0], dtype=x.dtype)
    return torch.cat([ends[:1], x, ends[1:]]), torch.cat([y[:1], y, y[-1:]])


def spikes(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The knots and values of 0 with a spike at every point, so narrow that their area falls with their number."""
    wide = 0.01 / len(x) ** 2
    knots, zero = torch.cat([x, x - wide, x + wide]), torch.zeros_like(y)
    order = knots.argsort()
    return knots[order], torch.cat([y, zero, zero])[order]


def least_norm(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The knots and values on (0, 1) of a two-layer ReLU network of least ∫|f''| through the points, one with fewest
    knots.

    Where the polygon bends to the same side at both ends of a segment, the lines before and after it are prolonged
    until they meet: the two bends become one. In a run of such points they are taken in pairs, from the left.
    """
    slope = y.diff() / x.diff()
    bend = torch.cat([torch.zeros(1), slope.diff().sign(), torch.zeros(1)])  # at every point; 0 at the ends
    at = torch.arange(len(x))
    first = torch.where(bend != torch.cat([torch.zeros(1), bend[:-1]]), at, 0).cummax(0).values  # of the run
    left = ((bend[:-1] != 0) & (bend[:-1] == bend[1:]) & ((at - first)[:-1] % 2 == 0)).nonzero().squeeze(1)
    before, after = slope[left - 1], slope[left + 1]
    along = (y[left + 1] - y[left] - after * (x[left + 1] - x[left])) / (before - after)
    ends = torch.tensor([0.0, 1.0], dtype=x.dtype)
    outside = y[[0, -1]] + slope[[0, -1]] * (ends - x[[0, -1]])
    knots, values = (
        torch.cat([x, x[left] + along, ends]),
        torch.cat([y, y[left] + before * along, outside]),
    )
    order = knots.argsort()
    return knots[order], values[order]


def risk(interpolant: Interpolant, seed: int, count: int, power: int) -> float:
    """∫ |f|^p over (0, 1) of the interpolant of noise of N(0, 1) at uniform random points: what overfitting adds where
    the truth is 0. p is 1 or 2."""
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(count, generator=random, dtype=torch.float64).sort().values
    knots, f = interpolant(x, torch.randn(count, generator=random, dtype=torch.float64))
    a, b = f[:-1], f[1:]
    if power == 2:
        return float((knots.diff() * (a * a + a * b + b * b)).sum()) / 3
    size = a.abs() + b.abs()
    return (
        float((knots.diff() * torch.where(a * b >= 0, size, (a * a + b * b) / size.clamp_min(1e-300))).sum())
        / 2
    )


def median_risk(interpolant: Interpolant, seed: int, count: int, power: int, draws: int = 41) -> float:
    found = [risk(interpolant, 1000 * seed + i, count, power) for i in range(draws)]
    return sorted(found)[draws // 2]


def curvature(neurons: Tensor, x: Tensor) -> Tensor:
    """f'' of the network between neighbors of x, by hundredths of each interval: one row for each."""
    a, w, b = neurons
    at, mass, rows = -b / w, a * w.abs() / len(a), []
    for low, high in pairwise(x):
        inside = (at > low) & (at < high)
        place = ((at[inside] - low) / (high - low) * 100).long().clamp(0, 99)
        rows.append(torch.zeros(100, dtype=x.dtype).index_add(0, place, mass[inside]))
    return torch.stack(rows)


def in_three_windows(row: Tensor) -> float:
    """How much of a row lies in three windows of 10 of its 100 places, taken greedily."""
    row, found = row.clone(), 0.0
    for _ in range(3):
        windows = row.unfold(0, 10, 1).sum(1)
        i = int(windows.argmax())
        found += float(windows[i])
        row[i : i + 10] = 0
    return found


@claim(
    "SGD",
    MEAN_FIELD,
    kind="empirical",
    predicts=at_least(0.9),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-9),
    seeds=4,
    scale="200 neurons of input and bias through 5 random values, 2,500 steps of the rate 0.1 (times the width)",
)
def noisy_regularized_training_leaves_three_knots_between_points_at_most(method: Any, seed: int) -> float:
    """Wide two-layer ReLU networks trained on points of a line by noisy gradient descent with weight decay become
    piecewise linear, with at most three knots between neighboring inputs, as noise and decay vanish.

    The share of ∫|f''| between the first and the last input that lies in at most three windows per interval, each a
    tenth of the interval wide; decay 0.01, temperature 1e-5. (At the start it is 0.7.)
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)
    y = torch.randn(5, generator=random, dtype=torch.float64)
    p = torch.nn.Parameter(torch.randn(3, 200, generator=random, dtype=torch.float64))
    opt, neurons = method([p], lr=0.1), p.detach()
    for _ in range(2500):
        a, w, b = neurons
        z = w[:, None] * x + b[:, None]
        residual = (a @ z.clamp_min(0)) / len(a) - y
        slope = (z > 0) * a[:, None]
        p.grad = torch.stack([z.clamp_min(0) @ residual, slope @ (residual * x), slope @ residual]) * 0.4
        p.grad += 0.01 * neurons
        opt.step()
        neurons += math.sqrt(2 * 0.1 * 1e-5) * torch.randn(3, 200, generator=random, dtype=torch.float64)
    rows = curvature(neurons, x).abs()
    return sum(in_three_windows(row) for row in rows) / float(rows.sum())


@claim(
    "least-norm interpolation",
    NOISY,
    subject=least_norm,
    kind="empirical",
    predicts=between(0.9, 1.1),
    tolerance=0.0,
    wrong=spikes,
    seeds=4,
    scale="pure noise at 1,000 and at 10,000 points, the median of 41 draws",
)
def noise_fitted_with_least_norm_is_tempered_in_l1(method: Interpolant, seed: int) -> float:
    """The least-norm two-layer ReLU network through noisy points on a line has, with high probability, an L1 error that
    neither vanishes nor grows with their number.

    The error with 10,000 points over that with 1,000.
    """
    return median_risk(method, seed, 10_000, 1) / median_risk(method, seed, 1000, 1)


@claim(
    "least-norm interpolation",
    NOISY,
    subject=least_norm,
    kind="empirical",
    predicts=at_least(1.1),
    tolerance=0.0,
    wrong=chords,
    seeds=8,
    scale="pure noise at 300 and at 20,000 points, the median of 41 draws",
)
def noise_fitted_with_least_norm_is_catastrophic_in_l2(method: Interpolant, seed: int) -> float:
    """Its L2 error grows without bound with the number of points (like its logarithm).

    The error with 20,000 points over that with 300. 1 would be tempered, as the polygon through the points is.
    """
    return median_risk(method, seed, 20_000, 2) / median_risk(method, seed, 300, 2)


@claim(
    "least-norm interpolation",
    NOISY,
    subject=least_norm,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=chords,
    seeds=5,
    scale="pure noise at 20 points, 1,000 draws, Hill's estimator from the largest 30",
)
def noise_fitted_with_least_norm_has_no_mean_risk(method: Interpolant, seed: int) -> float:
    """In expectation over the training set the error is infinite.

    The exponent α of the tail P(error > t) ∝ t^-α of the L2 error, which has no mean where α ≤ 1. (Two points that are
    near to each other and to an end suffice: α = 1/2.)
    """
    risks = torch.tensor([risk(method, 100_000 * seed + i, 20, 2) for i in range(1000)], dtype=torch.float64)
    tail = risks.sort(descending=True).values[:31].log()
    return float(1 / (tail[:30] - tail[30]).mean())
