"""How gradient descent finds a rectified filter."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from ..problem import descend
from ..problems.filters import angle, pooled_filter, rectified_filter
from .wrong import instead, scaled

FILTER = "When is a Convolutional Filter Easy To Learn?"


def curvature(phi: Tensor) -> Tensor:
    """γ(φ): the least eigenvalue of E zzᵀ over the Gaussian z that both filters pass, for an angle φ between them."""
    return (math.pi - phi - phi.sin()) / (2 * math.pi)


def _largest(of: Tensor) -> float:
    return float(of.max()) if len(of) else 0.0


@claim(
    "SGD", FILTER, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 0.02), seeds=4
)  # fmt: skip
def a_filter_is_approached_at_the_rate_that_the_angle_allows(method: Any, seed: int) -> float:
    """From a start nearer to the true filter than 0 is, every step of gradient descent with a rate η ≤ γ(φ)/L² brings
    the squared distance down by a factor of 1 - ηγ(φ) or better, where γ(φ) is the least eigenvalue of the covariance
    of the inputs that both filters pass, at the angle φ between them.

    For Gaussian inputs γ(φ) = (π - φ - sin φ) / 2π and L = ½. The largest ratio of ‖w⁺ - v‖² and (1 - ηγ(φ)) ‖w - v‖²
    over 30 steps from 8 starts at 0.95 of the distance of 0, while the distance is above 1e-5.
    """
    p = rectified_filter(8, 8, seed)
    v = p.minimizer
    assert v is not None
    rate, worst = 4 * float(curvature(angle(p.start, v)).min()), 0.0
    points = descend(p, method, 30, lr=rate).points
    for w, after in itertools.pairwise(points):
        far = (w - v).square().sum(1)
        allowed = (1 - rate * curvature(angle(w, v))) * far
        worst = max(worst, _largest(((after - v).square().sum(1) / allowed)[far > 1e-10]))
    return worst


@claim(
    "SGD", FILTER, kind="theorem", predicts=at_least(1.0), tolerance=0.0, wrong=scaled("SGD", 0.01), seeds=4
)  # fmt: skip
def at_least_nearly_half_of_small_starts_find_the_filter(method: Any, seed: int) -> float:
    """From a uniformly random point of the ball of radius α around 0 gradient descent recovers the filter with a
    probability of at least ½ - α √(πd/2).

    The share of 200 starts (α = 0.1, d = 4) that come within 1e-3 after 60 steps of the rate 1/2, over that bound.
    """
    size, radius, rows = 4, 0.1, 200
    p = rectified_filter(size, rows, seed)
    assert p.minimizer is not None
    random = torch.Generator().manual_seed(seed + 1)
    away = torch.randn(rows, size, generator=random, dtype=torch.float64)
    length = radius * torch.rand(rows, 1, generator=random, dtype=torch.float64) ** (1 / size)
    end = descend(p, method, 60, lr=0.5, start=length * away / away.norm(dim=1, keepdim=True)).end
    found = ((end - p.minimizer).norm(dim=1) < 1e-3).double().mean()
    return float(found) / (0.5 - radius * math.sqrt(math.pi * size / 2))


@claim(
    "SGD", FILTER, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=instead("Adam"), seeds=4,
    scale="Gaussian inputs of 8 numbers (their mean loss in closed form), 8 starts of length 0.1, the rate 1/2",
)  # fmt: skip
def a_filter_is_learned_slowly_first_and_faster_later(method: Any, seed: int) -> float:
    """Learning has two stages: slow while the angle to the true filter is wide, faster once it is small, which is why
    a larger rate is due later.

    The ratio of the mean logarithmic decrease of the distance per step over the first 3 steps and while the angle is
    below 0.1 (and the distance above 1e-6).
    """
    p = rectified_filter(8, 8, seed)
    v = p.minimizer
    assert v is not None
    random = torch.Generator().manual_seed(seed + 1)
    away = torch.randn(8, 8, generator=random, dtype=torch.float64)
    points = descend(p, method, 60, lr=0.5, start=0.1 * away / away.norm(dim=1, keepdim=True)).points
    far = torch.stack([(w - v).norm(dim=1) for w in points])
    gain = -(far[1:] / far[:-1]).log()
    late = (torch.stack([angle(w, v) for w in points[:-1]]) < 0.1) & (far[:-1] > 1e-6)
    return float(gain[:3].mean() / gain[late].mean()) if late.any() else math.inf


@claim(
    "SGD", FILTER, kind="empirical", predicts=at_most(0.5), tolerance=0.0, wrong=scaled("SGD", 1e-6), seeds=4,
    scale="300 samples of 4 Gaussian patches of 5 numbers, correlations 0 and 0.9, 40 steps",
)  # fmt: skip
def close_patches_make_a_filter_easier_to_learn(method: Any, seed: int) -> float:
    """The closer the patches of an input are to each other, the faster gradient descent finds the filter.

    The ratio of the distances that 40 steps leave for patches of the correlation 0.9 and of 0, each with the best of
    the rates ½, 1, 2, 4 and 8 (the largest stable ones are 4 and 16, about).
    """

    def left(closeness: float) -> float:
        p = pooled_filter(closeness, seed=seed)
        assert p.minimizer is not None
        v = p.minimizer
        ends = [descend(p, method, 40, lr=rate).end for rate in (0.5, 1.0, 2.0, 4.0, 8.0)]
        return min(float((w - v).norm()) for w in ends)

    return left(0.9) / left(0.0)
