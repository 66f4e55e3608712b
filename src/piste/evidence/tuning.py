"""Equal tuning: both sides of a comparison get the rate that suits them, found with the same effort."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tuned:
    """The best rate and its score, and all that were tried."""

    rate: float
    score: float
    tried: Mapping[float, float]


def tuned(score: Callable[[float], float], rates: Sequence[float], widenings: int = 4) -> Tuned:
    """The rate of the lowest ``score(rate)`` over a geometric grid, which is widened at its own pace while the best
    lies at an end. What is not finite counts as infinitely bad.

    Errors (ValueError): fewer than three rates, or the best still at an end after so many widenings: a comparison with
    it would say nothing.
    """
    grid = sorted(rates)
    if len(grid) < 3:
        raise ValueError(f"a grid of {len(grid)} rates has no inside: give at least three")
    pace = grid[1] / grid[0]
    tried = {rate: _finite(score(rate)) for rate in grid}
    for _ in range(widenings + 1):
        best = min(tried, key=lambda rate: tried[rate])
        if min(tried) < best < max(tried):
            return Tuned(best, tried[best], tried)
        fresh = best / pace if best == min(tried) else best * pace
        tried[fresh] = _finite(score(fresh))
    raise ValueError(
        f"the best rate is {best:g}, an end of what was tried ({min(tried):g} to {max(tried):g}): give a wider grid"
    )


def steps_to(losses: Sequence[float], target: float) -> float:
    """The number of the first step after which the loss is at most ``target``; infinite where none is."""
    return next((float(t) for t, loss in enumerate(losses) if loss <= target), math.inf)


def _finite(score: float) -> float:
    return score if math.isfinite(score) else math.inf
