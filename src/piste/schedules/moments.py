"""Whether something happens at a step: bool schedules, for refreshes."""

from __future__ import annotations

import math
import random

from ._schedule import Count, Steps, schedule


@schedule()
def every(t: int, k: Steps, phase: Count = 0, start: Count = 0) -> bool:
    """True on each k-th step from ``start`` on; a ``phase`` of its own for each tensor spreads the work."""
    return t >= start and (t - phase) % k == 0


@schedule(an_update_probability_is_between_0_and_1=lambda p: 0 <= p <= 1)
def evenly(t: int, p: float) -> bool:
    """True in a share p of the steps, as evenly spread as can be; t = 1 is the first."""
    return math.floor((t - 1) * p + 1e-9) != math.floor((t - 2) * p + 1e-9) and p > 0


@schedule(a_probability_is_between_0_and_1=lambda p: 0 <= p <= 1)
def chance(t: int, p: float, seed: Count = 0) -> bool:
    """True with probability p, drawn for each step by itself: the same at every run and after a resume."""
    return random.Random(f"{seed}/{t}").random() < p
