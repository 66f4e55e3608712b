"""Strengths from duels.

    P(i beats j) = π_i / (π_i + π_j)        w_ij: how often i has beaten j

The maximum of the likelihood is a fixed point of many maps; of these two, one is a hundred years old and slow where
methods differ much, the other is not. Both update one π after the other, each from the newest of the others.

Source: Newman, "Efficient computation of rankings from pairwise comparisons", 2023, https://arxiv.org/abs/2207.00076.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .aggregation import preferences, table

Update = Callable[[np.ndarray, np.ndarray, float, np.ndarray], float]


@dataclass(frozen=True)
class Strengths:
    """``strengths`` with the geometric mean 1, after so many ``sweeps`` over all methods; whether they stood still."""

    strengths: np.ndarray
    sweeps: int
    converged: bool


def duels(scores: np.ndarray) -> np.ndarray:
    """``w_ij``: the tasks on which i is ahead of j, a tie counting half for both."""
    x = table(scores)
    equal = (x[:, None] == x[None]).sum(2) * (1 - np.eye(len(x)))
    return preferences(x) + equal / 2


def newman(
    wins: np.ndarray, tolerance: float = 1e-10, sweeps: int = 10_000, prior: float = 0.0,
    start: np.ndarray | None = None,
) -> Strengths:  # fmt: skip
    """``π_i ← Σ_j w_ij π_j/(π_i + π_j) / Σ_j w_ji/(π_i + π_j)``.

    ``prior``: so many games won and as many lost against a method of strength 1, which keeps strengths finite where
    someone never loses. Stops where no π_i/(π_i + 1) moves by more than ``tolerance`` in a sweep.

    Errors (ValueError): wins that are not a square table of numbers ≥ 0, or, without a prior, methods that do not reach
    each other by wins, so that the likelihood has no maximum.
    """
    return _iterated(_newman, wins, tolerance, sweeps, prior, start)


def zermelo(
    wins: np.ndarray, tolerance: float = 1e-10, sweeps: int = 10_000, prior: float = 0.0,
    start: np.ndarray | None = None,
) -> Strengths:  # fmt: skip
    """``π_i ← Σ_j w_ij / Σ_j (w_ij + w_ji)/(π_i + π_j)``: to compare with; otherwise as :func:`newman`."""
    return _iterated(_zermelo, wins, tolerance, sweeps, prior, start)


def _newman(won: np.ndarray, lost: np.ndarray, own: float, others: np.ndarray) -> float:
    share = 1 / (own + others)
    return float((won * others) @ share / (lost @ share))


def _zermelo(won: np.ndarray, lost: np.ndarray, own: float, others: np.ndarray) -> float:
    return float(won.sum() / ((won + lost) @ (1 / (own + others))))


def _iterated(
    update: Update, wins: np.ndarray, tolerance: float, sweeps: int, prior: float, start: np.ndarray | None
) -> Strengths:  # fmt: skip
    w = _checked(wins, prior)
    m = len(wins)
    p = np.append(
        np.ones(m) if start is None else np.asarray(start, dtype=float), 1.0
    )  # and whom the prior plays
    for sweep in range(1, sweeps + 1):
        before = p[:m] / (1 + p[:m])
        for i in range(m):
            p[i] = update(w[i], w[:, i], p[i], p)
        if not prior:
            p[:m] /= np.exp(np.log(p[:m]).mean())
        if np.abs(p[:m] / (1 + p[:m]) - before).max() <= tolerance:
            return Strengths(_centered(p[:m]), sweep, True)
    return Strengths(_centered(p[:m]), sweeps, False)


def _centered(p: np.ndarray) -> np.ndarray:
    return p / np.exp(np.log(p).mean())


def _checked(wins: np.ndarray, prior: float) -> np.ndarray:
    """The wins with one more player for the prior."""
    w = np.asarray(wins, dtype=float)
    if w.ndim != 2 or w.shape[0] != w.shape[1] or not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError(f"wins are a square table of numbers that are not negative; got the shape {w.shape}")
    w = w * (1 - np.eye(len(w)))
    if not prior and not _connected(w > 0):
        raise ValueError(
            "some methods have never lost to any of the others, so that their strength has no bound: give prior=1"
        )
    return np.pad(w, (0, 1), constant_values=prior)


def _connected(beats: np.ndarray) -> bool:
    """Whether every method reaches every other along wins."""
    reach = beats | np.eye(len(beats), dtype=bool)
    for _ in range(int(np.ceil(np.log2(max(2, len(beats)))))):
        reach = reach @ reach
    return bool(reach.all())
