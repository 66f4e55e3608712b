"""The statistics of a race: pure functions of numbers, no files, no models.

Every interval here rests on one model, stated in every report: the final losses of an entry on its fresh
seeds are independent and normal around the entry's own mean, with one deviation shared by all entries of a
task. The deviation is pooled because three seeds say almost nothing about the deviation of a single entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from scipy import optimize, special, stats

Groups = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Interval:
    """An estimate between its bounds; a bound may be infinite."""

    low: float
    mid: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Pooled:
    """The common deviation of several groups; NaN where there are no degrees of freedom."""

    deviation: float
    freedom: int


def pooled_deviation(groups: Groups) -> Pooled:
    """``s^2 = sum_i sum_j (x_ij - mean_i)^2 / sum_i (n_i - 1)``."""
    freedom = sum(len(x) - 1 for x in groups.values() if len(x))
    squares = sum(float(np.sum((np.asarray(x) - np.mean(x)) ** 2)) for x in groups.values() if len(x))
    return Pooled(math.sqrt(squares / freedom) if freedom else math.nan, freedom)


def against(groups: Groups, baseline: str, confidence: float = 0.95) -> dict[str, Interval]:
    """Simultaneous intervals for ``mean_i - mean_baseline`` (Dunnett).

    All of them hold at once with probability ``confidence``.

    Source: Dunnett, "A Multiple Comparison Procedure for Comparing Several Treatments with a Control", 1955,
    https://doi.org/10.1080/01621459.1955.10501294. scipy's ``dunnett`` integrates by random sampling, so its
    interval changes from call to call; a report must not, hence the quadrature of :func:`dunnett_critical`,
    tested against it. Without a single degree of freedom the bounds are infinite.
    """
    others = [name for name in groups if name != baseline]
    if not others:
        return {}
    pooled = pooled_deviation(groups)
    sizes = tuple(len(groups[name]) for name in others)
    critical = dunnett_critical(sizes, len(groups[baseline]), pooled.freedom, confidence)
    return {name: _difference(groups[name], groups[baseline], pooled, critical) for name in others}


def pairwise(groups: Groups, confidence: float = 0.95) -> dict[tuple[str, str], Interval]:
    """Simultaneous intervals for ``mean_a - mean_b`` over all ordered pairs (Tukey–Kramer).

    Source: Kramer, "Extension of Multiple Range Tests to Group Means with Unequal Numbers of Replications",
    1956, https://doi.org/10.2307/3001469.
    """
    pooled = pooled_deviation(groups)
    critical = tukey_critical(len(groups), pooled.freedom, confidence) / math.sqrt(2)
    return {
        (a, b): _difference(groups[a], groups[b], pooled, critical) for a in groups for b in groups if a != b
    }


def _difference(a: Sequence[float], b: Sequence[float], pooled: Pooled, critical: float) -> Interval:
    mid = float(np.mean(a) - np.mean(b))
    if not pooled.freedom:
        return Interval(-math.inf, mid, math.inf)
    half = critical * pooled.deviation * math.sqrt(1 / len(a) + 1 / len(b))
    return Interval(mid - half, mid, mid + half)


@lru_cache(maxsize=256)
def dunnett_critical(sizes: tuple[int, ...], control: int, freedom: int, confidence: float = 0.95) -> float:
    """The ``d`` with ``P(max_i |T_i| <= d) = confidence`` for comparisons that share one control.

    The statistics are correlated through the control alone, ``corr(T_i, T_j) = sqrt(l_i l_j)`` with
    ``l_i = n_i / (n_i + n_0)``, so that given the control's error ``z`` and the pooled deviation ``s`` they
    are independent and the k-dimensional integral is the plain double integral ``E_s E_z prod_i
    [Phi((sqrt(l_i) z + d s) / sqrt(1 - l_i)) - Phi((sqrt(l_i) z - d s) / sqrt(1 - l_i))]``.
    """
    if not freedom:
        return math.inf
    share = np.array([n / (n + control) for n in sizes])[:, None, None]
    z, weight_z = _normal_nodes()
    s, weight_s = _deviation_nodes(freedom)

    def excess(d: float) -> float:
        centre = np.sqrt(share) * z[None, :, None]
        reach = d * s[None, None, :]
        scale = np.sqrt(1 - share)
        inside = special.ndtr((centre + reach) / scale) - special.ndtr((centre - reach) / scale)
        return float(weight_z @ inside.prod(axis=0) @ weight_s) - confidence

    return _root(excess, 8.0)


def _root(excess: Callable[[float], float], high: float) -> float:
    """Where an increasing function that is negative at zero crosses it."""
    while excess(high) < 0:
        high *= 2
    return cast(float, optimize.brentq(excess, 0.0, high, xtol=1e-10))


@lru_cache(maxsize=256)
def tukey_critical(groups: int, freedom: int, confidence: float = 0.95) -> float:
    """The ``q`` with ``P(range of k normal means / s <= q) = confidence`` (studentized range)."""
    if groups < 2:
        return 0.0
    return float(stats.studentized_range.ppf(confidence, groups, freedom)) if freedom else math.inf


@lru_cache(maxsize=1)
def _normal_nodes() -> tuple[np.ndarray, np.ndarray]:
    x, weight = np.polynomial.hermite_e.hermegauss(128)
    return x, weight / math.sqrt(2 * math.pi)


@lru_cache(maxsize=32)
def _deviation_nodes(freedom: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of ``s = chi_freedom / sqrt(freedom)``, uniform in probability."""
    x, weight = np.polynomial.legendre.leggauss(192)
    return np.sqrt(stats.chi2.ppf((x + 1) / 2, freedom) / freedom), weight / 2


@dataclass(frozen=True)
class Rank:
    """``place`` is shared by all that cannot be told apart; the true rank lies in ``best … worst`` with
    confidence."""

    place: int
    shared: bool
    best: int
    worst: int


def ranks(groups: Groups, confidence: float = 0.95) -> dict[str, Rank]:
    """Places such that two entries differ in place only if every link between them is a difference seen.

    Being inseparable is not transitive, so a place is a connected component of "cannot be told apart". The
    range beside it is finer: better entries at most, worse entries at least. Source: Al Mohamad, Goeman, van
    Zwet, "Simultaneous Confidence Intervals for Ranks with Application to Ranking Institutions", 2022,
    https://doi.org/10.1111/biom.13419.
    """
    means = {name: float(np.mean(x)) for name, x in groups.items()}
    order = sorted(groups, key=lambda name: means[name])
    differences = pairwise(groups, confidence)
    apart = {pair for pair, interval in differences.items() if interval.excludes_zero}
    # In order of means the components are runs: a run ends where nothing before it reaches beyond it.
    starts = [i for i in range(len(order)) if all((a, b) in apart for a in order[:i] for b in order[i:])]
    bounds = list(zip(starts, [*starts[1:], len(order)], strict=True))
    found = {}
    for start, end in bounds:
        for name in order[start:end]:
            better = sum((other, name) in apart and means[other] < means[name] for other in order)
            worse = sum((other, name) in apart and means[other] > means[name] for other in order)
            found[name] = Rank(start + 1, end - start > 1, better + 1, len(order) - worse)
    return found


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


def smallest_detectable(
    entries: int, seeds: int, deviation: float = 1.0, *, confidence: float = 0.95, power: float = 0.8
) -> float:
    """The true difference from the baseline that this plan finds with probability ``power``.

    One of ``entries - 1`` Dunnett comparisons with ``seeds`` runs each; its statistic is noncentral t. In
    units of ``deviation``. Infinite with one seed: without repetitions nothing can be told apart.
    """
    freedom = entries * (seeds - 1)
    if freedom < 1 or entries < 2:
        return math.inf
    critical = dunnett_critical((seeds,) * (entries - 1), seeds, freedom, confidence)

    def excess(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift)) - power

    return _root(excess, 2 * critical) * deviation * math.sqrt(2 / seeds)


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
