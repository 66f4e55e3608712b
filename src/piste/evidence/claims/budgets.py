"""Budgets of training among configurations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..allocation import (
    Array,
    Bracket,
    Ids,
    Trained,
    brackets,
    curves,
    halve,
    hyperband,
)
from ..claim import at_least, at_most, claim, equal

HYPERBAND = "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization"
DEEPENING = "Iterative Deepening Hyperband"


def order(seed: int) -> Callable[[int, int], Ids]:
    """Configurations of their own for every bracket, the same however many are asked for."""
    return lambda place, n: 1_000_000 * (place + 1) + 100_000_000 * seed + np.arange(n)


Searcher = Callable[..., tuple[int, float]]


def twice_as_many(train: Any, most: float, eta: int, draw: Callable[[int, int], Ids]) -> tuple[int, float]:
    """Wrong: brackets of twice as many configurations."""
    return hyperband(train, most, eta, lambda place, n: draw(place, 2 * n))


@claim(
    "Hyperband", HYPERBAND, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, subject=hyperband,
    wrong=twice_as_many, seeds=3,
)  # fmt: skip
def hyperband_stays_within_its_budget(method: Searcher, seed: int) -> float:
    """Each of the s_max + 1 brackets spends at most B = (s_max + 1) R.

    The cost of all, every training from scratch, over (s_max + 1)² R: the largest of η = 2, …, 5 and 25 random R up to
    1,000.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for eta in (2, 3, 4, 5):
        for most in random.integers(eta, 1000, 25).tolist():
            costs: list[float] = []

            def train(ids: Ids, length: float, costs: list[float] = costs) -> Array:
                costs.append(len(ids) * length)
                return ids.astype(np.float64)

            method(train, float(most), eta, order(seed))
            deepest = math.floor(math.log(most) / math.log(eta) + 1e-9)
            worst = max(worst, sum(costs) / ((deepest + 1) ** 2 * most))
    return worst


def at_random(train: Any, most: float, eta: int, draw: Callable[[int, int], Ids]) -> tuple[int, float]:
    """Wrong: whoever goes on is drawn by lot."""

    def by_lot(bracket: Bracket) -> tuple[int, float]:
        for i, length in enumerate(bracket.lengths):
            ids = bracket.ids[: max(1, len(bracket.ids) // eta**i)]
            losses = train(ids, length)
        return int(ids[losses.argmin()]), float(losses.min())

    return min((by_lot(b) for b in brackets(most, eta, draw)), key=lambda found: found[1])


def speedup(method: Searcher, seed: int, most: float, eta: int, crossing: float) -> float:
    """The budget with which random search expects as small a loss at R, over Hyperband's, which goes on with training
    where it stopped; means over 60 searches."""
    reached, spent = [], 0.0
    for i in range(60):
        train = Trained(curves(60 * seed + i, crossing))
        chosen, _ = method(train, most, eta, order(i))
        reached.append(float(train.curve(np.array([chosen]), most)[0]))
        spent += train.spent / 60
    pool = np.sort(curves(60 * seed, crossing)(np.arange(30_000), most))
    ranks = (np.arange(len(pool)) + 0.5) / len(pool)
    low, high = (
        0.0,
        12.0,
    )  # log of how many; the mean of the least of k is Σ loss · k (1 - rank)^(k-1) / count
    for _ in range(30):
        k = math.exp((low + high) / 2)
        weights = (1 - ranks) ** (k - 1)
        if float(weights @ pool / weights.sum()) > np.mean(reached):
            low = math.log(k)
        else:
            high = math.log(k)
    return math.exp(low) * most / spent


@claim(
    "Hyperband", HYPERBAND, kind="empirical", predicts=at_least(10.0), tolerance=0.0, subject=hyperband,
    wrong=at_random, seeds=8,
    scale="made curves whose times differ tenfold and powers 0.5 to 1.5, R = 300, η = 4, 60 searches",
)  # fmt: skip
def hyperband_is_ten_times_faster_than_random_search(method: Searcher, seed: int) -> float:
    """Hyperband is over an order of magnitude faster than searches that train every configuration to the end.

    The budget with which random search expects as small a loss at R, over Hyperband's, which goes on with training
    where it stopped; means over 60 searches.
    """
    return speedup(method, seed, 300.0, 4, 1.0)


@claim(
    "Hyperband", HYPERBAND, kind="empirical", predicts=at_least(10.0), tolerance=0.0, subject=hyperband,
    wrong=at_random, seeds=8,
    scale="made curves whose times differ 60-fold and powers 0.1 to 1.9, R = 300, η = 4, 60 searches",
)  # fmt: skip
def hyperband_is_ten_times_faster_where_curves_cross(method: Searcher, seed: int) -> float:
    """Hyperband is over an order of magnitude faster, also where early losses say less of late ones.

    As of its other claim, with curves whose speeds differ more.
    """
    return speedup(method, seed, 300.0, 4, 1.8)


@claim(
    "Hyperband", HYPERBAND, kind="empirical", predicts=at_least(10.0), tolerance=0.0, subject=hyperband,
    wrong=at_random, scale="made curves whose times differ tenfold and powers 0.5 to 1.5, R = 81, η = 3, 60 searches",
)  # fmt: skip
def hyperband_is_ten_times_faster_in_its_own_example(method: Searcher, seed: int) -> float:
    """Hyperband is over an order of magnitude faster, with the R = 81 and η = 3 of its own example, too.

    As of its other claim; 143 configurations are looked at with the budget of 25 full trainings or less.
    """
    return speedup(method, seed, 81.0, 3, 1.0)


def deepest_bracket(train: Any, most: float, eta: int, draw: Callable[[int, int], Ids]) -> tuple[int, float]:
    """Wrong: the bracket that halves most, alone."""
    return halve(brackets(most, eta, draw)[0], train, eta)


@claim(
    "Hyperband", HYPERBAND, kind="theorem", predicts=at_most(1.0), tolerance=0.0, subject=hyperband,
    wrong=deepest_bracket, in_mean=True, seeds=3,
)  # fmt: skip
def hyperband_loses_at_most_a_logarithm_to_random_search(method: Searcher, seed: int) -> float:
    """Where early losses mislead, Hyperband's last bracket, which stops nobody, keeps it within a factor s_max + 1 of
    random search.

    Mean loss over that of s_max + 1 configurations trained to the end, on curves whose order before a quarter of the
    time is turned around; R = 81, η = 3, 200 searches.
    """
    mine, other = [], []
    for i in range(200):
        curve = curves(200 * seed + i, crossing=-1.0)
        mine.append(method(curve, 81.0, 3, order(i))[1])
        other.append(float(curve(np.arange(5), 81.0).min()))
    return float(np.mean(mine) / np.mean(other))


def deepened(seed: int, most: float, eta: int, again: Searcher) -> tuple[float, float, Trained]:
    """Losses reached by a search for ``most`` that then goes on to η times as much, and by one that starts with that;
    and what the first has trained."""
    train, fresh = Trained(curves(seed)), Trained(curves(seed))
    hyperband(train, most, eta, order(0))
    _, reached = again(train, most * eta, eta, order(0))
    _, right = hyperband(fresh, most * eta, eta, order(0))
    return reached, right, train


def only_known(train: Trained, most: float, eta: int, draw: Callable[[int, int], Ids]) -> tuple[int, float]:
    """Wrong: goes on with what was trained longest and looks at nothing new."""
    furthest = max(train.reached.values())
    ids = np.array([i for i, length in train.reached.items() if length == furthest])
    losses = train(ids, most)
    return int(ids[losses.argmin()]), float(losses.min())


def from_scratch(train: Trained, most: float, eta: int, draw: Callable[[int, int], Ids]) -> tuple[int, float]:
    """Wrong: forgets what was trained."""
    train.losses.clear()
    train.reached.clear()
    return hyperband(train, most, eta, draw)


@claim(
    "iterative deepening", DEEPENING, kind="identity", predicts=equal(0.0), tolerance=1e-12, subject=hyperband,
    wrong=only_known, seeds=3,
)  # fmt: skip
def deepening_ends_where_the_right_budget_would(method: Searcher, seed: int) -> float:
    """Going on with a larger longest training, instead of anew, keeps what Hyperband guarantees: here, where all that
    is known is reconsidered, it ends in the same configuration.

    The largest difference of the losses reached from R = 27 and then 81, and with R = 81 at once; η = 3, ten tasks.
    """
    pairs = [deepened(10 * seed + i, 27.0, 3, method)[:2] for i in range(10)]
    return max(abs(one - other) for one, other in pairs)


@claim(
    "iterative deepening", DEEPENING, kind="empirical", predicts=at_most(1.1), tolerance=0.0, subject=hyperband,
    wrong=from_scratch, seeds=4, scale="made curves, R = 27 then 81, η = 3, ten tasks",
)  # fmt: skip
def deepening_costs_hardly_more_than_the_right_budget(method: Searcher, seed: int) -> float:
    """Raising the longest training afterwards need not cost a second search: what was trained is used.

    What both searches spend together, R = 27 and then 81, over one with 81 at once; trainings go on where they stopped.
    """
    together = alone = 0.0
    for i in range(10):
        train, fresh = deepened(10 * seed + i, 27.0, 3, method)[2], Trained(curves(10 * seed + i))
        hyperband(fresh, 81.0, 3, order(0))
        together, alone = together + train.spent, alone + fresh.spent
    return together / alone
