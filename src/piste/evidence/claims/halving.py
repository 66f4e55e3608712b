"""Budgets of pulls among the arms of a bandit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..allocation import Array, Ids, bracketing, sequential_halving
from ..claim import at_most, claim

REGRET = "Revisiting Simple Regret: Fast Rates for Returning a Good Arm"
Chooser = Callable[..., Ids]


def worse_half(means: Array, budget: int, random: np.random.Generator, noise: float = 1.0) -> Ids:
    """Wrong: the worse half stays."""
    return sequential_halving(-means, budget, random, noise)


def all_alike(means: Array, budget: int, random: np.random.Generator, noise: float = 1.0) -> Ids:
    """Wrong: the budget spread evenly, or a pull each for as many arms as it reaches."""
    runs, arms = means.shape
    some = random.permuted(np.tile(np.arange(arms), (runs, 1)), axis=1)[:, : min(arms, budget)]
    drawn = random.standard_normal(some.shape) * noise / math.sqrt(max(1, budget // some.shape[1]))
    best = (np.take_along_axis(means, some, 1) + drawn).argmax(1)
    return np.take_along_axis(some, best[:, None], 1)[:, 0]


def whichever(means: Array, budget: int, random: np.random.Generator, noise: float = 1.0) -> Ids:
    """Wrong: an arm at random."""
    return random.integers(means.shape[1], size=len(means))


def regret(means: Array, chosen: Ids) -> Array:
    return means.max(1) - np.take_along_axis(means, chosen[:, None], 1)[:, 0]


@claim(
    "sequential halving", REGRET, kind="theorem", predicts=at_most(1.0), tolerance=0.0, subject=sequential_halving,
    wrong=worse_half, in_mean=True, seeds=3,
)  # fmt: skip
def halvings_simple_regret_falls_with_the_budget(method: Chooser, seed: int) -> float:
    """The expected gap between the best arm and the one returned is at most of order √(n/T), up to logarithms, for any
    means.

    Mean regret of 300 runs over 5.5 √(n log₂ n / T), the largest of n = 8, 64 arms, T = 40 to 1,000 pulls an arm, and
    four kinds of means. (A round with deviation s loses at most E|N(0, s²)| twice, and s² = |S| log₂ n / T halves.)
    """
    random, worst = np.random.default_rng(seed), 0.0
    for arms in (8, 64):
        for pulls in (40, 200, 1000):
            budget = arms * pulls
            gap = math.sqrt(arms * math.log2(arms) / budget)
            one = np.zeros((300, arms))
            one[:, random.integers(arms)] = 1
            kinds = (
                gap * one,
                3 * gap * one,
                random.random((300, arms)),
                np.tile(np.linspace(0, 1, arms), (300, 1)),
            )
            for means in kinds:
                worst = max(worst, float(regret(means, method(means, budget, random)).mean()) / (5.5 * gap))
    return worst


@claim(
    "sequential halving", REGRET, kind="empirical", predicts=at_most(1.0), tolerance=0.0, subject=sequential_halving,
    wrong=all_alike, scale="1 good arm of 16 with 3,000 pulls against 16 of 256 with 6,000, gap 0.3, 2,000 runs",
)  # fmt: skip
def many_good_arms_make_up_for_many_arms(method: Chooser, seed: int) -> float:
    """What counts is not the number of arms but how many there are for each good one: to return a good arm costs about
    n/m pulls where m of n are good, up to logarithms.

    Failures with 16 good arms of 256 over those with 1 of 16, the budget doubled as log₂ n is.
    """
    random, failed = np.random.default_rng(seed), []
    for arms, good, budget in ((256, 16, 6000), (16, 1, 3000)):
        means = np.zeros((2000, arms))
        means[:, :good] = 0.3
        failed.append(float((regret(means, method(means, budget, random)) > 0).mean()))
    return failed[0] / failed[1]


@claim(
    "bracketing", REGRET, kind="empirical", predicts=at_most(0.9), tolerance=0.0, subject=bracketing, wrong=whichever,
    scale="1,000 arms, 500 pulls, one arm in ten good by 1, noise 1, 1,000 runs",
)  # fmt: skip
def brackets_find_good_arms_with_fewer_pulls_than_arms(method: Chooser, seed: int) -> float:
    """Halving within random sets of arms does well where the budget does not reach to pull each arm once.

    Mean regret over that of pulling as many arms as possible once and taking the best.
    """
    random = np.random.default_rng(seed)
    means = (random.random((1000, 1000)) < 0.1).astype(float)
    mine, other = (regret(means, how(means, 500, random)).mean() for how in (method, all_alike))
    return float(mine / other)
