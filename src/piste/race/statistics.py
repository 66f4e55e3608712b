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

from .interval import Interval as Interval

Groups = Mapping[str, Sequence[float]]


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


def unsteady(groups: Groups, keep: str = "", level: float = 0.001) -> frozenset[str]:
    """The groups whose deviation is not the common one, so that pooling them would blur all others.

    The group with the largest variance is held against the pool of the others (an F test at ``level`` over
    the number of groups), set aside where it fails, and the rest tried again. ``keep`` (the reference, which
    enters every comparison) always stays. Source: 't Lam, "Scrutiny of variance results for outliers:
    Cochran's test optimized?", 2010, https://doi.org/10.1016/j.aca.2009.11.032.
    """
    steady = {name: x for name, x in groups.items() if len(x) > 1}
    variance = {name: float(np.var(x, ddof=1)) for name, x in steady.items()}
    while len(steady) > 2 and any(name != keep for name in steady):
        worst = max((name for name in steady if name != keep), key=lambda name: variance[name])
        others = pooled_deviation({name: x for name, x in steady.items() if name != worst})
        limit = stats.f.isf(level / len(steady), len(steady[worst]) - 1, others.freedom)
        if variance[worst] <= limit * others.deviation**2:
            break
        del steady[worst]
    return frozenset(name for name in groups if len(groups[name]) > 1 and name not in steady)


def spreads(groups: Groups, apart: frozenset[str] = frozenset()) -> dict[str, Pooled]:
    """Each group's deviation: the pooled one, or its own for those set apart."""
    common = pooled_deviation({name: x for name, x in groups.items() if name not in apart})
    return {name: pooled_deviation({name: groups[name]}) if name in apart else common for name in groups}


def against(
    groups: Groups, baseline: str, apart: frozenset[str] = frozenset(), confidence: float = 0.95
) -> dict[str, Interval]:
    """Simultaneous intervals for ``mean_i - mean_baseline`` (Dunnett).

    All of them hold at once with probability ``confidence``. Groups set ``apart`` enter with their own
    deviation and Welch's degrees of freedom. Without a single degree of freedom the bounds are infinite.

    Source: Dunnett, "A Multiple Comparison Procedure for Comparing Several Treatments with a Control", 1955,
    https://doi.org/10.1080/01621459.1955.10501294. scipy's ``dunnett`` integrates by random sampling, so its
    interval changes from call to call; a report must not, hence the quadrature of :func:`dunnett_critical`,
    tested against it.
    """
    others = [name for name in groups if name != baseline]
    spread = spreads(groups, apart)
    sizes = tuple(len(groups[name]) for name in others)

    def critical(freedom: int) -> float:
        return dunnett_critical(sizes, len(groups[baseline]), freedom, confidence)

    return {name: _difference(groups, name, baseline, spread, critical) for name in others}


def pairwise(
    groups: Groups, apart: frozenset[str] = frozenset(), confidence: float = 0.95
) -> dict[tuple[str, str], Interval]:
    """Simultaneous intervals for ``mean_a - mean_b`` over all ordered pairs (Tukey–Kramer).

    Groups set ``apart`` enter as in :func:`against` (then these are Games–Howell intervals).
    Source: Kramer, "Extension of Multiple Range Tests to Group Means with Unequal Numbers of Replications",
    1956, https://doi.org/10.2307/3001469.
    """
    spread = spreads(groups, apart)

    def critical(freedom: int) -> float:
        return tukey_critical(len(groups), freedom, confidence) / math.sqrt(2)

    return {(a, b): _difference(groups, a, b, spread, critical) for a in groups for b in groups if a != b}


def _difference(
    groups: Groups, a: str, b: str, spread: Mapping[str, Pooled], critical: Callable[[int], float]
) -> Interval:
    mid = float(np.mean(groups[a]) - np.mean(groups[b]))
    parts = [spread[name].deviation ** 2 / len(groups[name]) for name in (a, b)]
    freedom = spread[a].freedom
    if spread[a] is not spread[b]:
        both = [spread[name].freedom for name in (a, b)]
        whole = sum(part**2 / n for part, n in zip(parts, both)) if all(both) else 0.0
        freedom = max(1, math.floor(sum(parts) ** 2 / whole)) if whole else min(both)
    if not freedom:
        return Interval(-math.inf, mid, math.inf)
    half = critical(freedom) * math.sqrt(sum(parts))
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
    confidence.

    ``place`` is None for a group set apart that varies too much to be placed."""

    place: int | None
    shared: bool
    best: int
    worst: int


def ranks(groups: Groups, apart: frozenset[str] = frozenset(), confidence: float = 0.95) -> dict[str, Rank]:
    """Places such that a difference in place is always a difference seen.

    Being inseparable is not transitive, so a place is a connected component of "cannot be told apart". The
    range beside it is finer: better entries at most, worse entries at least. A group set ``apart`` has a
    place only where it is told from all others: it would link what has nothing in common. Source: Al Mohamad,
    Goeman, van Zwet, "Simultaneous Confidence Intervals for Ranks with Application to Ranking Institutions",
    2022, https://doi.org/10.1111/biom.13419.
    """
    order = sorted(groups, key=lambda name: float(np.mean(groups[name])))
    told = {pair for pair, interval in pairwise(groups, apart, confidence).items() if interval.excludes_zero}
    placed = [n for n in order if n not in apart or all((n, other) in told for other in order if other != n)]
    # In order of means the components are runs: a run ends where nothing before it reaches beyond it.
    starts = [i for i in range(len(placed)) if all((a, b) in told for a in placed[:i] for b in placed[i:])]
    found = {}
    for at, name in enumerate(order):
        better = sum((other, name) in told for other in order[:at])
        worse = sum((other, name) in told for other in order[at + 1 :])
        place, shared = None, False
        if name in placed:
            i = max(k for k, start in enumerate(starts) if start <= placed.index(name))
            end = starts[i + 1] if i + 1 < len(starts) else len(placed)
            place, shared = starts[i] + 1, end - starts[i] > 1
        found[name] = Rank(place, shared, better + 1, len(order) - worse)
    return found


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
