"""What is read off finished runs beside the losses themselves: equivalent steps, profiles, sensitivity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .statistics import Interval, Pooled


def equivalent_steps(
    losses: Sequence[float],
    horizons: Mapping[float, Sequence[float]],
    pooled: Pooled,
    critical: float,
) -> Interval:
    """How many times the steps the baseline needs to end where this entry ends, from *completed* runs.

    ``horizons`` gives the baseline's final losses at each multiple of the race's steps. Between them the mean
    loss ``A(x)`` is interpolated linearly in ``x = log(multiple)``; where a longer run ended worse, the best
    so far counts. The estimate solves ``A(x) = mean(losses)``; the interval holds every ``x`` at which entry
    and baseline cannot be told apart (Fieller's inversion: errors of both sides enter, no delta method).
    Beyond the longest run every bound is ``inf`` ("at least"), below the shortest 0 ("at most"): nothing is
    extrapolated.
    """
    multiples = sorted(horizons)
    x = np.log(multiples)
    means = np.minimum.accumulate([float(np.mean(horizons[m])) for m in multiples])
    variance = np.array([1 / len(horizons[m]) for m in multiples])
    grid = np.unique(np.concatenate([np.linspace(x[0], x[-1], 2001), x]))
    curve = np.interp(grid, x, means)
    weights = np.array([np.interp(grid, x, row) for row in np.eye(len(x))])
    error = pooled.deviation * np.sqrt(1 / len(losses) + (weights**2 * variance[:, None]).sum(0))
    lead = curve - float(np.mean(losses))
    if not pooled.freedom or not np.all(np.isfinite(error)):
        return Interval(0.0, _crossing(grid, lead), math.inf)
    return Interval(
        _crossing(grid, lead - critical * error),
        _crossing(grid, lead),
        _crossing(grid, lead + critical * error),
    )


def _crossing(grid: np.ndarray, lead: np.ndarray) -> float:
    """The multiple up to which ``lead`` stays positive, 0 or inf when that lies outside the grid."""
    if lead[0] < 0:
        return 0.0
    behind = np.flatnonzero(lead <= 0)
    if not len(behind):
        return math.inf
    i = int(behind[0])
    if i == 0 or lead[i] == 0:
        return float(np.exp(grid[i]))
    part = lead[i - 1] / (lead[i - 1] - lead[i])
    return float(np.exp(grid[i - 1] + part * (grid[i] - grid[i - 1])))


def performance_profile(costs: Mapping[str, Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
    """Per entry the steps ``(tau, share of tasks whose cost is at most tau times the best entry's)``.

    ``costs[entry][task]`` must be positive; a failure is ``inf`` and is never within any factor.
    Source: Dolan, Moré, "Benchmarking Optimization Software with Performance Profiles", 2002,
    https://doi.org/10.1007/s101070100263.
    """
    table = np.array(list(costs.values()), dtype=float)
    best = table.min(axis=0)
    ratios = np.where(np.isfinite(table), table / np.where(np.isfinite(best), best, 1.0), np.inf)
    return {name: _steps(row) for name, row in zip(costs, ratios, strict=True)}


def _steps(ratios: np.ndarray) -> list[tuple[float, float]]:
    points = sorted({1.0, *(float(r) for r in ratios if math.isfinite(r))})
    return [(tau, float(np.mean(ratios <= tau))) for tau in points]


def rate_sensitivity(losses: Sequence[float], ceiling: float) -> float:
    """What an untuned rate costs: the mean over the tried rates of ``min(loss, ceiling) - best loss``.

    ``ceiling`` is the loss of a model that learnt nothing, so that a divergence counts as that and not as
    infinity. Source: Wortsman et al., "Small-scale proxies for large-scale Transformer training
    instabilities", 2023, https://arxiv.org/abs/2309.14322.
    """
    finite = [x if math.isfinite(x) else ceiling for x in losses]
    capped = np.minimum(finite, ceiling)
    return float(np.mean(capped) - np.min(capped))
