"""Values that move from one place to another and stay there."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise

from ._schedule import Count, Steps, schedule
from .shapes import between, half_cosine, part


@schedule()
def constant(t: int, value: float) -> float:
    """The same value at every step."""
    return value


@schedule()
def linear(t: int, start: float, end: float, steps: Steps) -> float:
    """A straight line from ``start`` to ``end``: torch's LinearLR.

    Falling to 0 it is what last-iterate theory singles out as the best in the worst case.

    Reference: "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement", A. Defazio,
    A. Cutkosky, H. Mehta, K. Mishchenko, 2023, https://arxiv.org/abs/2310.07831. (Not its refinement.)
    """
    return between(start, end, 1 - part(t, steps))


@schedule(start_and_end_are_in_0_to_1=lambda start, end: 0 <= start < 1 and 0 <= end < 1)
def half_life(t: int, start: float, end: float, steps: Steps) -> float:
    """The beta of an average, its half-life on a straight line between those of ``start`` and ``end``.

    h(β) = log ½ / log β steps; β(t) = ½^(1/h), h between h(start) and h(end) as t goes from 0 to ``steps``.

    Reference: "The AdEMAMix Optimizer: Better, Faster, Older", Matteo Pagliardini, Pierre Ablin, David Grangier, 2024,
    https://arxiv.org/abs/2409.03137
    """
    if t >= steps:
        return end
    first, last = (math.log(0.5) / math.log(beta) if beta else 0.0 for beta in (start, end))
    h = between(first, last, 1 - part(t, steps))
    return 0.5 ** (1 / h) if h else 0.0


@schedule()
def cosine(t: int, peak: float, steps: Steps, end: float = 0.0) -> float:
    """Half a cosine from ``peak`` to ``end``: torch's CosineAnnealingLR, but it stays at ``end``.

    The shape is that of one run of ``sgdr``, where it comes from.
    """
    return between(peak, end, half_cosine(part(t, steps)))


@schedule(power_must_be_positive=lambda power: power > 0)
def polynomial(t: int, start: float, steps: Steps, power: float = 1.0, end: float = 0.0) -> float:
    """A power of the part that is left, from ``start`` to ``end``: torch's PolynomialLR."""
    return between(start, end, (1 - part(t, steps)) ** power)


@schedule(decay_must_be_over_0_and_at_most_1=lambda decay: 0 < decay <= 1)
def exponential(t: int, start: float, decay: float) -> float:
    """The same factor at each step: torch's ExponentialLR, whose gamma is ``decay``."""
    return start * decay**t


@schedule()
def inverse_sqrt(t: int, peak: float, warmup: Steps) -> float:
    """Up in a line to ``peak`` at step ``warmup``, down with the root of time.

    The paper counts steps from 1; its width enters as peak = 1 / √(width · warmup).

    Reference: "Attention Is All You Need", A. Vaswani et al., 2017,
    https://arxiv.org/abs/1706.03762, equation 3.
    """
    s = t + 1
    return peak * min(s / warmup, math.sqrt(warmup / s))


def rises(boundaries: tuple[int, ...]) -> bool:
    return all(a < b for a, b in pairwise(boundaries))


@schedule(points_must_be_two_or_more=lambda values: len(values) > 1)
def points(t: int, values: tuple[float, ...], steps: Steps) -> float:
    """Straight lines between points that lie evenly over the steps: the first at 0, the last at ``steps`` - 1."""
    at = part(t, max(steps - 1, 1)) * (len(values) - 1)
    i = min(int(at), len(values) - 2)
    return between(values[i], values[i + 1], i + 1 - at)


@schedule(
    boundaries_must_rise=rises,
    boundaries_must_be_one_fewer_than_values=lambda values, boundaries: len(values) == len(boundaries) + 1,
)
def piecewise(t: int, values: tuple[float, ...], boundaries: tuple[Count, ...]) -> float:
    """Constant pieces: ``values[i]`` from ``boundaries[i - 1]`` to ``boundaries[i]``. torch's MultiStepLR."""
    return values[bisect_right(boundaries, t)]
