"""The order that contradicts tasks least.

    Kemeny consensus: the order σ with the least Σ_t d(σ, σ_t), where Kendall's d counts the pairs that one order has
    the one way round and the other the other.

It is the maximum-likelihood order where each task is a noisy copy of a true one (Mallows). Source: Colombo et al.,
"What are the best systems? New perspectives on NLP Benchmarking", 2022, https://arxiv.org/abs/2202.03799.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .aggregation import Table, borda, preferences

LARGEST = 14
"""Methods that the exact search takes: it looks at all 2^m sets of them."""


def disagreement(order: Sequence[int], scores: Table) -> float:
    """``Σ_t d(order, σ_t)``: contradicted pairs, over all tasks. ``order`` lists methods, the best first; ties
    on a task and pairs that it lacks contradict nothing."""
    ahead = preferences(scores)
    at = np.asarray(order)
    return float(np.tril(ahead[np.ix_(at, at)], -1).sum())


def kemeny(scores: Table) -> list[int]:
    """The exact consensus, methods from the best to the worst; among equals the one with the lower numbers first.

    Dynamic programming over the sets S of methods that stand in front:

        cost(S) = min_i∈S cost(S - i) + Σ_j∈S N_ij        N_ij: tasks that put i ahead of j

    Errors (ValueError): more than 14 methods; take :func:`borda_order`.
    """
    ahead = preferences(scores)
    m = len(ahead)
    if m > LARGEST:
        raise ValueError(f"{m} methods have too many orders for an exact consensus: take borda_order")
    sets = np.arange(1 << m)
    inside = (sets[:, None] >> np.arange(m)) & 1
    last = np.where(inside == 1, inside @ ahead.T, np.inf)  # of i behind all of S
    cost, whom = np.zeros(1 << m), np.zeros(1 << m, dtype=int)
    sizes = inside.sum(1)
    for size in range(1, m + 1):
        here = sets[sizes == size]
        candidates = last[here] + cost[here[:, None] & ~(1 << np.arange(m))]
        whom[here] = m - 1 - candidates[:, ::-1].argmin(1)
        cost[here] = candidates.min(1)
    order, rest = [], (1 << m) - 1
    while rest:
        order.append(int(whom[rest]))
        rest &= ~(1 << order[-1])
    return order[::-1]


def borda_order(scores: Table) -> list[int]:
    """Methods by Borda points: at most five times the consensus' disagreement (Coppersmith, Fleischer, Rudra, "Ordering
    by weighted number of wins gives a good ranking for weighted tournaments", 2010), at no search."""
    return [int(i) for i in np.argsort(-borda(scores), kind="stable")]


def kendall(first: Sequence[int], second: Sequence[int]) -> int:
    """The pairs that two orders, each a list of the same methods, have different ways round."""
    at = {method: place for place, method in enumerate(second)}
    seen = [at[method] for method in first]
    return sum(a > b for i, a in enumerate(seen) for b in seen[i + 1 :])
