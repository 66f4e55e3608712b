"""Many tasks, one order: rules of social choice on a table of scores.

A table holds methods in rows and tasks in columns; higher is better, NaN is missing. Every rule gives points, one
number per method, of which only the order counts. Tasks are voters: each puts the methods in an order, and equal
scores share the points of their places.

Source: Rofin et al., "Vote'n'Rank: Revision of Benchmarking with Social Choice Theory", 2022,
https://arxiv.org/abs/2210.05769.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Table = np.ndarray
Rule = Callable[[Table], np.ndarray]


def table(scores: Sequence[Sequence[float]] | Table, complete: bool = False) -> Table:
    """The scores as methods × tasks of float64.

    Errors (ValueError): no table, a method or a task without any score, and, where it must be ``complete``, a missing
    one: which, and which rules can do without.
    """
    x = np.asarray(scores, dtype=float)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"scores are a table of methods × tasks; got the shape {x.shape}")
    missing = np.isnan(x)
    for axis, what in ((1, "method"), (0, "task")):
        if (empty := np.flatnonzero(missing.all(axis))).size:
            raise ValueError(f"{what} {empty[0]} has no score at all: leave it out")
    if complete and missing.any():
        row, column = np.argwhere(missing)[0]
        raise ValueError(
            f"the score of method {row} on task {column} is missing: positions need them all; "
            "copeland, minimax and mean do without"
        )
    return x


def mean(scores: Table) -> np.ndarray:
    """``1/n Σ_t s_it`` over the tasks that a method has: what leaderboards do. It hangs on the tasks' units."""
    return np.nanmean(table(scores), axis=1)


def positional(scores: Table, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """``Σ_t c_k`` with k the place of the method on task t and c the ``weights`` of places, the first one first."""
    return places(scores) @ np.asarray(weights, dtype=float)


def places(scores: Table) -> np.ndarray:
    """Methods × places: on how many tasks a method has a place, in equal parts over places that it shares."""
    x = table(scores, complete=True)
    above = (x[None] > x[:, None]).sum(1)[..., None]
    equal = (x[None] == x[:, None]).sum(1)[..., None]
    k = np.arange(len(x))
    return (((above <= k) & (k < above + equal)) / equal).sum(1)


def plurality(scores: Table) -> np.ndarray:
    """First places: c = (1, 0, …, 0)."""
    return places(scores)[:, 0]


def borda(scores: Table) -> np.ndarray:
    """How many methods each leaves behind, over all tasks: c = (m - 1, m - 2, …, 0)."""
    return positional(scores, np.arange(len(scores))[::-1])


def dowdall(scores: Table) -> np.ndarray:
    """c = (1, 1/2, …, 1/m): high places count more."""
    return positional(scores, 1 / np.arange(1, len(scores) + 1))


def threshold(scores: Table) -> np.ndarray:
    """Who is last most seldom; of equals, who is last but one most seldom, and so on (points: minus the number of
    methods that are better)."""
    counts = [tuple(row) for row in np.round(places(scores)[:, ::-1], 9)]
    return np.array([-sum(other < mine for other in counts) for mine in counts], dtype=float)


def baldwin(scores: Table) -> np.ndarray:
    """Whoever has the fewest Borda points drops out, and all others are counted anew (points: the round of leaving)."""
    x = table(scores, complete=True)
    left, out = np.arange(len(x)), np.zeros(len(x))
    for turn in range(1, len(x) + 1):
        points = np.round(borda(x[left]), 9)
        lowest = points == points.min()
        out[left[lowest]] = turn
        left = left[~lowest]
        if not left.size:
            break
    return out


def preferences(scores: Table) -> np.ndarray:
    """``N_ij``: on how many of the tasks that both have method i is ahead of method j, a tie counting for neither."""
    x = table(scores)
    return (x[:, None] > x[None]).sum(2).astype(float)


def copeland(scores: Table) -> np.ndarray:
    """Duels won minus duels lost, a duel being won on more of the common tasks: ``Σ_j sign(N_ij - N_ji)``."""
    ahead = preferences(scores)
    return np.sign(ahead - ahead.T).sum(1)


def minimax(scores: Table) -> np.ndarray:
    """Minus the worst defeat, ``-max_j N_ji / n_ij`` over the j with ``N_ji > N_ij``, n the number of common tasks."""
    x = table(scores)
    here = (~np.isnan(x)).astype(float)
    common = np.maximum(here @ here.T, 1.0)
    ahead = preferences(x)
    return -np.where(ahead < ahead.T, ahead.T / common, 0.0).max(1)


def condorcet_winner(scores: Table) -> int | None:
    """The method that wins its duel with every other one, if there is one."""
    points = copeland(scores)
    best = int(points.argmax())
    return best if points[best] == len(points) - 1 else None


def ranking(points: Sequence[float] | np.ndarray) -> list[int]:
    """Places from points, 1 for the most; equal points share the best of their places."""
    x = np.round(np.asarray(points, dtype=float), 9)
    return [1 + int((x > mine).sum()) for mine in x]


RULES: dict[str, Rule] = {
    "mean": mean, "plurality": plurality, "Borda": borda, "Dowdall": dowdall, "threshold": threshold,
    "Baldwin": baldwin, "Copeland": copeland, "minimax": minimax,
}  # fmt: skip
"""By name; :func:`piste.race.overall.overall` adds those that are more than a count."""
