"""Whether a run has found the solution, how often runs do, and when.

A loss that is small need not mean that the right solution was found. Where an exact one is known, a run succeeds when
its error is below that of the exact solution with every parameter moved by ε:

    succeeded   error < mean over signs s of error(w* + ε s)         ε = 1e-5
    rate        k of n runs, with Wilson's interval
    time        the first evaluation of a successful run below it, gamma distributed over runs
    sparsity    max_i min(|w_i|, |1 - |w_i||): how far parameters are from -1, 0 and 1

Source: Madsen, Johansen, "Measuring Arithmetic Extrapolation Performance", 2019, https://arxiv.org/abs/1910.01888.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from .interval import Interval

EPSILON = 1e-5


def criterion(
    error: Callable[[np.ndarray], float], exact: np.ndarray, epsilon: float = EPSILON, draws: int = 100, seed: int = 0
) -> float:  # fmt: skip
    """The error that a solution has when it is off by ``epsilon`` everywhere, mean over ``draws`` of its signs."""
    random = np.random.default_rng(seed)
    w = np.asarray(exact, dtype=float)
    return float(np.mean([error(w + epsilon * random.choice((-1.0, 1.0), w.shape)) for _ in range(draws)]))


def first_success(errors: Sequence[float], bound: float) -> float:
    """The number of the first evaluation below the criterion, infinite where none is (NaN is not below)."""
    return next((float(t) for t, e in enumerate(errors) if e < bound), math.inf)


def rate(successes: int, runs: int, confidence: float = 0.95) -> Interval:
    """Wilson's interval, ``(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)``, around the share p of successes.

    Errors (ValueError): no runs, or more successes than runs.
    """
    if not 0 <= successes <= runs or runs == 0:
        raise ValueError(f"{successes} of {runs} runs is no share")
    z, p = NormalDist().inv_cdf((1 + confidence) / 2), successes / runs
    middle, whole = p + z * z / (2 * runs), 1 + z * z / runs
    half = z * math.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs))
    return Interval(max(0.0, (middle - half) / whole), p, min(1.0, (middle + half) / whole))


def mean_time(times: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of gamma distributed times of successful runs: ``2nk x̄/μ`` has χ² of 2nk degrees of freedom.

    The shape k is the maximum of the likelihood, log k - ψ(k) = log x̄ - mean log x, less its bias in small samples
    (k ← k - (3k - 2/3)/n; k > 2/9n). Unbounded above with fewer than three runs.

    Errors (ValueError): no times, or one that is not a positive number; leave out runs that did not succeed.
    """
    x = np.asarray(times, dtype=float)
    if not x.size or not (np.isfinite(x).all() and (x > 0).all()):
        raise ValueError("times of successes are positive numbers: leave out runs without, count from 1")
    from scipy import special  # here: piste.evidence imports this module without the extra that brings scipy

    n, mid = len(x), float(x.mean())
    if n < 3:
        return Interval(0.0, mid, math.inf)
    gap = math.log(mid) - float(np.log(x).mean())
    if gap < 1e-12:
        return Interval(mid, mid, mid)
    k = max(_shape(gap) * (1 - 3 / n) + 2 / (3 * n), 2 / (9 * n))
    low, high = special.gammaincinv(
        n * k, [(1 - confidence) / 2, (1 + confidence) / 2]
    )  # halves of χ² quantiles
    return Interval(n * k * mid / high, mid, n * k * mid / low)


def sparsity_error(weights: np.ndarray) -> float:
    """``max_i min(|w_i|, |1 - |w_i||)``, 0 for parameters that are exactly -1, 0 or 1."""
    size = np.abs(np.asarray(weights, dtype=float))
    return float(np.minimum(size, np.abs(1 - size)).max())


def _shape(gap: float) -> float:
    """The k with log k - ψ(k) = gap, by Newton's method in 1/k."""
    from scipy import special

    k = (3 - gap + math.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
    for _ in range(6):
        off = math.log(k) - special.psi(k) - gap
        k = 1 / (1 / k + off / (k * k * (1 / k - special.polygamma(1, k))))
    return float(k)
