"""Votes of tasks: duels of methods, and scores that are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...race import aggregation as rules
from ..claim import at_most, claim, equal
from .rankings import noisy_table

VOTE = "Vote'n'Rank: Revision of Benchmarking with Social Choice Theory"


@claim(
    "Copeland rule",
    VOTE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=0.0,
    wrong=(rules.plurality, rules.dowdall),
    subject=(rules.copeland, rules.minimax, rules.baldwin),
    seeds=5,
)
def who_beats_every_other_method_is_first(method: Any, seed: int) -> float:
    """A method that beats each other one on most tasks (Condorcet's winner) stands first and alone by the rules of
    Copeland and Baldwin and by minimax.

    The share of tables with such a winner, of 100 of 5 methods and 9 tasks at random, in which a rule has it otherwise.
    """
    random, there, violated = np.random.default_rng(seed), 0, 0
    for x in random.standard_normal((100, 5, 9)):
        winner = rules.condorcet_winner(x)
        if winner is not None:
            there += 1
            places = [rules.ranking(rule(x)) for rule in method]
            violated += any(p[winner] != 1 or p.count(1) != 1 for p in places)
    return violated / there


def contradicted(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pairs that two vectors of points (last axis) have different ways round; a tie in one of them counts half."""
    one, two = (np.sign(x[..., :, None] - x[..., None, :]) for x in (first, second))
    return np.abs(one - two).sum((-1, -2)) / 4


def best_score(x: np.ndarray) -> np.ndarray:
    return np.nanmax(x, axis=1)


def unrest(method: rules.Rule, seed: int, difficulties: float) -> float:
    """Pairs that change when 40 % of the scores are left out, by a rule over the mean, each against its own order from
    all scores: 300 tables of 6 methods and 10 tasks."""
    random, moved = np.random.default_rng(seed), np.zeros(2)
    for _ in range(300):
        x = noisy_table(random, 6, 10, noise=1.0, difficulties=difficulties)
        y = np.where(random.random(x.shape) < 0.4, np.nan, x)
        y[:, np.isnan(y).all(0)] = x[:, np.isnan(y).all(0)]
        y[np.isnan(y).all(1)] = x[np.isnan(y).all(1)]
        moved += [contradicted(rule(x), rule(y)) for rule in (method, rules.mean)]
    return float(moved[0] / moved[1])


@claim(
    "Copeland rule",
    VOTE,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=best_score,
    subject=rules.copeland,
    seeds=4,
    scale="6 methods, 10 tasks, 40 % of scores missing; tasks differ thrice as much as neighboring methods",
)
def copelands_order_stands_missing_scores_better_than_the_mean(method: rules.Rule, seed: int) -> float:
    """Rules that compare pairs on the tasks that both have keep their order better than the mean does when scores are
    missing.

    Pairs that change when 40 % of the scores are left out, by Copeland's rule (ties count half) over the mean's; true
    qualities, noise of once the difference of neighbors, and difficulties of tasks of thrice it, as on benchmarks of
    unlike tasks.
    """
    return unrest(method, seed, difficulties=3.0)


@claim(
    "Copeland rule",
    VOTE,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=best_score,
    subject=rules.copeland,
    seeds=4,
    scale="6 methods, 10 tasks, 40 % of scores missing; tasks are equally hard, as after a normalization",
)
def copelands_order_stands_missing_scores_better_where_tasks_are_equally_hard(
    method: rules.Rule, seed: int
) -> float:
    """Rules that compare pairs on the tasks that both have keep their order better than the mean does when scores are
    missing.

    The same as where tasks differ, without differences between tasks: a missing score then tilts no mean, which
    uses the sizes of differences that Copeland's rule throws away.
    """
    return unrest(method, seed, difficulties=0.0)
