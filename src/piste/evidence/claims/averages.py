"""Averages over tasks that are weighted as an equilibrium."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...race.nash import Equilibrium, against_tasks, agents
from ..claim import at_most, claim, equal

EVALUATION = "Re-evaluating Evaluation"


def plain(wins: np.ndarray) -> Equilibrium:
    """All opponents count the same."""
    p = np.full(len(wins), 1 / len(wins))
    return Equilibrium(p, p, wins @ p, 0.0)


def plain_tasks(scores: np.ndarray) -> Equilibrium:
    """All tasks count the same."""
    p, q = (np.full(size, 1 / size) for size in scores.shape)
    return Equilibrium(p, q, scores @ q, float(p @ scores @ q))


def game(random: np.random.Generator, size: int = 6) -> np.ndarray:
    """Who wins how much against whom: differences of strength, and cycles."""
    a, r = random.standard_normal((size, size)), random.standard_normal(size)
    return a - a.T + r[:, None] - r


@claim(
    "Nash averaging",
    EVALUATION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=plain,
    subject=agents,
    seeds=4,
)
def copies_of_opponents_do_not_move_nash_averages(method: Any, seed: int) -> float:
    """Nash averages are invariant to redundant agents: playing against an opponent twice changes none of them.

    The largest change of an average when three of 6 agents, drawn with replacement, are there once more, over 10 games
    without ties (Gaussian, differences of strength and cycles alike), whose equilibrium is unique.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for _ in range(10):
        a = game(random)
        again = np.concatenate([np.arange(6), random.integers(0, 6, 3)])
        worst = max(
            worst, float(np.abs(method(a[np.ix_(again, again)]).averages[:6] - method(a).averages).max())
        )
    return worst


@claim(
    "Nash averaging",
    EVALUATION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=plain_tasks,
    subject=against_tasks,
    seeds=4,
)
def copies_of_tasks_do_not_move_nash_averages(method: Any, seed: int) -> float:
    """Nash averages are invariant to redundant tasks: who adds his favorite task once more gains nothing.

    The largest change of an average when three of 8 tasks, drawn with replacement, are there once more, over 10 tables
    of 6 agents without ties, whose equilibrium is unique.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for s in random.standard_normal((10, 6, 8)):
        again = np.concatenate([np.arange(8), random.integers(0, 8, 3)])
        worst = max(worst, float(np.abs(method(s[:, again]).averages - method(s).averages).max()))
    return worst


@claim(
    "Nash averaging",
    EVALUATION,
    kind="theorem",
    predicts=at_most(1e-8),
    tolerance=0.0,
    wrong=plain_tasks,
    subject=against_tasks,
    seeds=4,
    scale="tables of 4 agents and 5 tasks, one agent with full marks on all",
)
def copies_of_tasks_do_not_move_nash_averages_where_one_agent_leads_all(method: Any, seed: int) -> float:
    """Nash averages are invariant to redundant tasks, whatever the scores.

    The largest change when the first of 5 tasks is there twice, over 10 tables of 4 agents of which one has full marks,
    1, on every task: each way of weighting tasks is then an equilibrium, entropy chooses the even one, and a copy moves
    that choice. Such tables are common on leaderboards whose tasks are scored relative to the best.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for s in random.random((10, 4, 5)):
        s[0] = 1.0
        worst = max(
            worst, float(np.abs(method(s[:, [0, 0, 1, 2, 3, 4]]).averages - method(s).averages).max())
        )
    return worst


@claim(
    "Nash averaging",
    EVALUATION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=plain_tasks,
    subject=against_tasks,
    seeds=4,
)
def easy_tasks_do_not_move_nash_averages(method: Any, seed: int) -> float:
    """There is no harm in tasks that are too easy: Nash averages are not biased by them.

    The largest change of an average when two tasks are added on which all of 6 agents score higher than anywhere
    else, over 10 tables with 8 tasks.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for s in random.standard_normal((10, 6, 8)):
        easy = s.max() + random.random((6, 2))
        worst = max(worst, float(np.abs(method(np.hstack([s, easy])).averages - method(s).averages).max()))
    return worst


@claim(
    "Nash averaging",
    EVALUATION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=plain,
    subject=agents,
    seeds=4,
)
def weak_opponents_do_not_move_nash_averages(method: Any, seed: int) -> float:
    """There is no harm in opponents that are too weak: Nash averages are not biased by whom they beat most.

    The largest change of an average when two agents join 6 who lose to all of these by 3 to 6, over 10 games.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for _ in range(10):
        a, lost = game(random), -3 - 3 * random.random((2, 6))
        more = np.block([[a, -lost.T], [lost, np.zeros((2, 2))]])
        worst = max(worst, float(np.abs(method(more).averages[:6] - method(a).averages).max()))
    return worst


@claim(
    "Nash averaging",
    EVALUATION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=plain,
    subject=agents,
    seeds=4,
)
def the_equilibrium_of_estimated_scores_is_nearly_one_of_the_true_ones(method: Any, seed: int) -> float:
    """If p is a Nash equilibrium of Â and no entry of A is further than ε from Â, then p is an ε-equilibrium of A.

    The most that anyone gains against p in A, over ε = max |A - Â|, largest of 20 games of 6 agents with antisymmetric
    errors of deviation 0.03 to 0.3.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for k in range(20):
        a, error = game(random), 0.03 * 1.13**k * random.standard_normal((6, 6))
        seen = a + error - error.T
        gain = (a @ method(seen).methods).max()
        worst = max(worst, float(gain / np.abs(seen - a).max()))
    return worst


@claim(
    "Nash averaging",
    EVALUATION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-7,
    wrong=plain,
    subject=agents,
    seeds=4,
)
def cycles_get_even_weights_and_the_best_of_a_ladder_gets_all(method: Any, seed: int) -> float:
    """The equilibrium of the largest entropy is uniform where the game is cyclic (all rows sum to 0), and lies on the
    agents of the highest rating, evenly, where it is transitive (A_ij = r_i - r_j).

    The largest difference from these weights over 10 games of 6 agents of each kind, in every other one of the ladders
    two agents being the best.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for k in range(10):
        a = game(random)
        rows = a.mean(1)
        cyclic = a - rows[:, None] + rows
        r = random.standard_normal(6)
        r[1 - k % 2 : 2] = r.max() + 1.0
        best = (r == r.max()) / (r == r.max()).sum()
        for played, weights in ((cyclic, np.full(6, 1 / 6)), (r[:, None] - r, best)):
            worst = max(worst, float(np.abs(method(played).methods - weights).max()))
    return worst
