"""Orders of many methods on many tasks, and strengths from duels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...race import aggregation as rules
from ...race.bradley_terry import Strengths, newman, zermelo
from ...race.kemeny import borda_order, disagreement, kemeny
from ..claim import at_least, at_most, claim, equal

NEWMAN = "Efficient computation of rankings from pairwise comparisons"
BEST = "What are the best systems? New perspectives on NLP Benchmarking"

Order = Callable[[np.ndarray], Sequence[int]]


def league(seed: int, size: int = 8, deviation: float = 1.0, games: int = 20) -> np.ndarray:
    """Games won, of all pairs, by methods whose log strengths are Gaussian; everyone wins one more against each."""
    random = np.random.default_rng(seed)
    s = np.exp(deviation * random.standard_normal(size))
    won = np.triu(random.binomial(games, s[:, None] / (s[:, None] + s)), 1).astype(float)
    return won + np.tril(games - won.T, -1) + 1.0 - np.eye(size)


def expected(strengths: np.ndarray, games: float = 10.0) -> np.ndarray:
    """Games won, as many as expected: the strengths are then the maximum of the likelihood."""
    return games * strengths[:, None] / (strengths[:, None] + strengths)


def odds(wins: np.ndarray, **settings: Any) -> Strengths:
    """Games won over games lost, which takes no account of against whom."""
    return Strengths(wins.sum(1) / wins.sum(0), 1, True)


@claim(
    "Newman iteration",
    NEWMAN,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=odds,
    subject=newman,
    seeds=5,
)
def newmans_iteration_finds_the_maximum_that_zermelos_finds(method: Any, seed: int) -> float:
    """π_i ← Σ_j w_ij π_j/(π_i + π_j) / Σ_j w_ji/(π_i + π_j) converges to the maximum of the Bradley–Terry likelihood,
    as Zermelo's iteration does.

    The largest difference of log strengths, 8 methods that play 22 games with each other, log strengths from N(0, 1).
    """
    w = league(seed)
    found, known = (np.log(f(w, tolerance=1e-12).strengths) for f in (method, zermelo))
    return float(np.abs((found - found.mean()) - (known - known.mean())).max())


def likelihood(log_strengths: np.ndarray, wins: np.ndarray) -> float:
    """log P of the games: Σ w_ij log π_i/(π_i + π_j)."""
    return -float((wins * np.logaddexp(0.0, log_strengths - log_strengths[:, None])).sum())


def all_at_once(wins: np.ndarray, **settings: Any) -> Strengths:
    """Newman's map from old strengths only."""
    p = np.asarray(settings["start"])
    share = 1 / (p[:, None] + p)
    return Strengths((wins * share) @ p / (wins.T * share).sum(1), 1, False)


@claim(
    "Newman iteration",
    NEWMAN,
    kind="theorem",
    predicts=at_least(0.0),
    tolerance=1e-9,
    wrong=all_at_once,
    subject=newman,
    seeds=5,
)
def newmans_iteration_never_lowers_the_likelihood(method: Any, seed: int) -> float:
    """Updating one strength after the other, the iteration raises the likelihood until its maximum, from any start.

    The least change of the log-likelihood over 15 sweeps from 5 random starts, log strengths from N(0, 9), on leagues
    of 2, 3 and 6 methods.
    """
    random, least = np.random.default_rng(seed), np.inf
    for size in (2, 3, 6):
        w = league(seed, size)
        for s in 3.0 * random.standard_normal((5, size)):
            for _ in range(15):
                new = np.log(method(w, tolerance=0.0, sweeps=1, start=np.exp(s)).strengths)
                least, s = min(least, likelihood(new, w) - likelihood(s, w)), new
    return float(least)


def cost(method: Any, wins: np.ndarray) -> float:
    """Sums over opponents until no π/(1 + π) moves by 1e-8 in a sweep, at most 5,000: two in a sweep of Newman's, one
    in Zermelo's."""
    return method(wins, tolerance=1e-8, sweeps=5000).sweeps * (2.0 if method is newman else 1.0)


@claim(
    "Newman iteration",
    NEWMAN,
    kind="empirical",
    predicts=at_least(1.5),
    tolerance=0.0,
    wrong=zermelo,
    subject=newman,
    seeds=5,
    scale="8 methods, 22 games between every two, log strengths from N(0, 1)",
)
def newmans_iteration_is_faster_than_zermelos(method: Any, seed: int) -> float:
    """The new iteration is much faster than Zermelo's on data of every kind.

    Zermelo's sums over opponents over Newman's, until no probability of beating an average method moves by more than
    1e-8 in a sweep, in ten leagues together; a sweep of Newman's counts twice as it takes two sums. «Much» is read as
    half as much again.
    """
    leagues = [league(100 * seed + k) for k in range(10)]
    return sum(cost(zermelo, w) for w in leagues) / sum(cost(method, w) for w in leagues)


@claim(
    "Newman iteration",
    NEWMAN,
    kind="empirical",
    predicts=at_least(100.0),
    tolerance=0.0,
    wrong=zermelo,
    subject=newman,
    seeds=4,
    scale="6 to 8 methods; as many wins as expected of their strengths",
)
def newmans_iteration_is_a_hundred_times_faster_somewhere(method: Any, seed: int) -> float:
    """In some cases the new iteration is over a hundred times faster than Zermelo's.

    The largest ratio of sums over opponents (Newman's sweeps count twice) of three cases: an even league, log strengths
    from N(0, 1); an uneven one, from N(0, 9); and a champion who wins 99.9 % of all games against methods that are
    about as strong as each other. Zermelo's iteration is stopped after 5,000 sweeps, where it had not ended.
    """
    random = np.random.default_rng(seed)
    draws = [deviation * random.standard_normal(8) for deviation in (1.0, 3.0)]
    draws.append(np.append(0.1 * random.standard_normal(5), np.log(999.0)))
    return max(cost(zermelo, w) / cost(method, w) for w in (expected(np.exp(s)) for s in draws))


def noisy_table(
    random: np.random.Generator, methods: int, tasks: int, noise: float, scales: float = 0.0, difficulties: float = 3.0
) -> np.ndarray:  # fmt: skip
    """Scores around true qualities m - 1, …, 0, the same on all tasks; each task has its unit and its difficulty."""
    s = np.arange(methods)[::-1, None] + noise * random.standard_normal((methods, tasks))
    return s * np.exp(scales * random.standard_normal(tasks)) + difficulties * random.standard_normal(tasks)


def mean_order(scores: np.ndarray) -> list[int]:
    return [int(i) for i in np.argsort(-rules.mean(scores), kind="stable")]


def backwards(scores: np.ndarray) -> list[int]:
    return borda_order(scores)[::-1]


@claim(
    "Borda count",
    BEST,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=backwards,
    subject=borda_order,
    seeds=5,
)
def bordas_order_contradicts_tasks_at_most_five_times_as_much(method: Order, seed: int) -> float:
    """Ordering by Borda points is a 5-approximation of the Kemeny consensus.

    The largest of (pairs that tasks have the other way round) / (5 × the least possible) over 40 tables of 6 methods
    and 3 to 9 tasks, from nearly agreed to random.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for k in range(40):
        x = noisy_table(random, 6, 3 + k % 7, noise=0.5 * 2.0 ** (k % 4))
        worst = max(worst, disagreement(method(x), x) / (5 * max(disagreement(kemeny(x), x), 1.0)))
    return worst


@claim(
    "Kemeny consensus",
    BEST,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=mean_order,
    subject=kemeny,
    seeds=3,
)
def units_of_a_task_do_not_move_the_consensus(method: Order, seed: int) -> float:
    """An order that is made from the orders on tasks does not change when the scores of a task are measured in other
    units, while the mean may follow that one task.

    The share of 20 tables (6 methods, 8 tasks) whose order changes when the first task's scores are multiplied by 100.
    """
    random, moved = np.random.default_rng(seed), 0
    for _ in range(20):
        x = noisy_table(random, 6, 8, noise=4.0)
        larger = x * np.where(np.arange(8) == 0, 100.0, 1.0)
        moved += list(method(x)) != list(method(larger))
    return moved / 20


def misplaced(order: Sequence[int]) -> float:
    """Pairs that are not as in 0, 1, 2, …"""
    return float(sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]))


@claim(
    "Kemeny consensus",
    BEST,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=backwards,
    subject=kemeny,
    seeds=5,
    scale="6 methods, 10 tasks, whose units are spread by a factor of e in their deviation",
)
def the_consensus_is_nearer_to_the_truth_than_the_mean(method: Order, seed: int) -> float:
    """Where tasks are scored in different units, aggregating the orders is more reliable than averaging the scores.

    Pairs that the consensus of 60 tables has wrong, over those that the mean has wrong; scores are true qualities with
    noise of twice the difference of neighbors, times the task's unit from a log-normal law of deviation 1.
    """
    random = np.random.default_rng(seed)
    tables = [noisy_table(random, 6, 10, noise=2.0, scales=1.0) for _ in range(60)]
    return sum(misplaced(method(x)) for x in tables) / sum(misplaced(mean_order(x)) for x in tables)
