"""Numbers drawn anew at every step: one for all parameters, and the same at every run and after a resume."""

from __future__ import annotations

import math
import random

from ._schedule import Count, schedule


@schedule(the_lower_end_lies_below_the_upper=lambda low, high: low < high)
def drawn_uniformly(t: int, low: float = 0.0, high: float = 1.0, seed: Count = 0) -> float:
    """Uniform between ``low`` and ``high``."""
    return low + (high - low) * random.Random(f"{seed}/{t}").random()


@schedule(a_mean_is_positive=lambda mean: mean > 0)
def drawn_exponentially(t: int, mean: float = 1.0, seed: Count = 0) -> float:
    """Exponentially distributed: -mean · ln(1 - a uniform number)."""
    return -mean * math.log1p(-random.Random(f"{seed}/{t}").random())
