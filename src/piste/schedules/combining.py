"""Schedules made of schedules."""

from __future__ import annotations

import math
from bisect import bisect_right

from ._schedule import Clock, Count, Steps, schedule
from .decays import rises
from .shapes import between


@schedule()
def warmup(t: int, steps: Steps, then: Clock, start: float = 0.0) -> float:
    """A line over ``steps`` up to where ``then`` begins, then ``then``, on a clock of its own.

    ``start`` is a fraction of that beginning: at 0 the first step moves nothing, at 1 / steps none is wasted.
    """
    return then(t - steps) if t >= steps else then(0) * between(start, 1.0, 1 - t / steps)


@schedule(
    boundaries_must_rise=rises,
    boundaries_must_be_one_fewer_than_schedules=lambda schedules, boundaries: (
        len(schedules) == len(boundaries) + 1
    ),
)
def join(t: int, schedules: tuple[Clock, ...], boundaries: tuple[Count, ...]) -> float:
    """One schedule after another, each from its boundary on a clock of its own: torch's SequentialLR."""
    i = bisect_right(boundaries, t)
    return schedules[i](t - boundaries[i - 1] if i else t)


@schedule(relative=True)
def scale(t: int, by: Clock) -> float:
    """The factor ``by`` on what each param group was given (torch's LambdaLR): for groups that differ."""
    return by(t)


@schedule()
def times(t: int, schedules: tuple[Clock, ...]) -> float:
    """The product of schedules, all on one clock: a shape times a level."""
    return math.prod(f(t) for f in schedules)


@schedule()
def repeat(t: int, schedule: Clock, period: Steps) -> float:
    """A schedule from its beginning again after each ``period``: cycles, as in torch's CyclicLR."""
    return schedule(t % period)
