"""Who gets the budget: halving and brackets, over bandits and learning curves that are simulated.

References: "Revisiting Simple Regret: Fast Rates for Returning a Good Arm", Yao Zhao et al., 2022,
https://arxiv.org/abs/2210.16913; "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", Lisha Li et
al., 2016, https://arxiv.org/abs/1603.06560; "Iterative Deepening Hyperband", Jasmin Brandt et al., 2023,
https://arxiv.org/abs/2302.00511
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
Curve = Callable[[Ids, float], Array]  # the losses of configurations, trained for so long


def sequential_halving(means: Array, budget: int, random: np.random.Generator, noise: float = 1.0) -> Ids:
    """The arm (runs) chosen of ``means`` (runs, arms): in each of ⌈log₂ n⌉ rounds every arm that is left is pulled
    equally often, an equal share of the budget, and the better half of them by that round's averages stays."""
    runs, arms = means.shape
    left = np.broadcast_to(np.arange(arms), (runs, arms))
    rounds = max(1, math.ceil(math.log2(arms)))
    for _ in range(rounds):
        seen = _pulled(means, left, budget // (rounds * left.shape[1]), random, noise)
        better = np.argsort(-seen, 1)[:, : math.ceil(left.shape[1] / 2)]
        left = np.take_along_axis(left, better, 1)
    return left[:, 0]


def bracketing(means: Array, budget: int, random: np.random.Generator, noise: float = 1.0) -> Ids:
    """The arm chosen where the budget may be smaller than the number of arms: sequential halving on random sets of 2,
    4, 8, … arms with equal shares of half the budget, and their winners compared with the other half.

    The paper's method doubles these budgets so that it can be stopped at any time; this is the one for a budget."""
    runs, arms = means.shape
    count = max(1, math.floor(math.log2(max(2, budget / math.log2(budget)))))
    sizes = [min(arms, 2**b) for b in range(1, count + 1)]
    sizes = [size for size in sizes if budget // 2 // count >= size * max(1, math.ceil(math.log2(size)))] or [
        1
    ]
    winners = []
    for size in sizes:
        some = random.integers(arms, size=(runs, size))
        chosen = sequential_halving(
            np.take_along_axis(means, some, 1), budget // 2 // len(sizes), random, noise
        )
        winners.append(np.take_along_axis(some, chosen[:, None], 1))
    last = np.concatenate(winners, 1)
    seen = _pulled(means, last, budget // 2 // last.shape[1], random, noise)
    return np.take_along_axis(last, seen.argmax(1)[:, None], 1)[:, 0]


def _pulled(means: Array, arms: Ids, times: int, random: np.random.Generator, noise: float) -> Array:
    """Averages of so many pulls of each arm (runs, some)."""
    if times < 1:
        raise ValueError(
            f"the budget does not reach to pull each of {arms.shape[1]} arms once in every round"
        )
    drawn = random.standard_normal(arms.shape) * (noise / math.sqrt(times))
    return np.take_along_axis(means, arms, 1) + drawn


@dataclass
class Trained:
    """What has been trained, and what that cost: a configuration goes on from where it stopped.

    ``losses``: by configuration and length; ``reached``: how far each was trained; ``spent``: in units of training."""

    curve: Curve
    losses: dict[tuple[int, float], float] = field(default_factory=dict)
    reached: dict[int, float] = field(default_factory=dict)
    spent: float = 0.0

    def __call__(self, ids: Ids, length: float) -> Array:
        fresh = [i for i in ids.tolist() if (i, length) not in self.losses]
        if fresh:
            for i, loss in zip(fresh, self.curve(np.array(fresh), length), strict=True):
                self.spent += max(0.0, length - self.reached.get(i, 0.0))
                self.reached[i] = max(length, self.reached.get(i, 0.0))
                self.losses[i, length] = float(loss)
        return np.array([self.losses[i, length] for i in ids.tolist()])


@dataclass(frozen=True)
class Bracket:
    """Configurations that start together, and the lengths of training at which the best of them go on."""

    ids: Ids
    lengths: tuple[float, ...]


def brackets(most: float, eta: int, draw: Callable[[int, int], Ids]) -> list[Bracket]:
    """Hyperband's, for a longest training ``most``: bracket s = s_max, …, 0 starts n = ⌈(s_max+1) η^s/(s+1)⌉
    configurations at most·η^-s. ``draw(place, n)``: the first n configurations of the bracket whose shortest training
    is the place-th, counted from the shortest of all: the same for any ``most`` that is η times another."""
    deepest = math.floor(math.log(most) / math.log(eta) + 1e-9)
    made = []
    for s in range(deepest, -1, -1):
        n = math.ceil((deepest + 1) * eta**s / (s + 1) - 1e-9)
        made.append(Bracket(draw(deepest - s, n), tuple(most / eta ** (s - i) for i in range(s + 1))))
    return made


def halve(bracket: Bracket, train: Callable[[Ids, float], Array], eta: int) -> tuple[int, float]:
    """Successive halving: after every length the best ⌊n/ηⁱ⌋ go on; the best at the end, and its loss."""
    ids = bracket.ids
    for i, length in enumerate(bracket.lengths):
        losses = train(ids, length)
        order = np.argsort(losses, kind="stable")
        if i + 1 < len(bracket.lengths):
            ids = ids[order[: max(1, math.floor(len(bracket.ids) / eta ** (i + 1) + 1e-9))]]
    return int(ids[order[0]]), float(losses[order[0]])


def hyperband(
    train: Callable[[Ids, float], Array], most: float, eta: int, draw: Callable[[int, int], Ids]
) -> tuple[int, float]:  # fmt: skip
    """The best configuration of all brackets, and its loss. A ``train`` that remembers (:class:`Trained`), asked again
    with ``most`` times η, pays for what is new only: iterative deepening, in the variant that reconsiders all that it
    knows."""
    return min((halve(b, train, eta) for b in brackets(most, eta, draw)), key=lambda found: found[1])


def curves(seed: int, crossing: float = 1.0) -> Curve:
    """Learning curves of endlessly many configurations, f + (1 - f) (1 + r/r₀)^-a: what is left, the time and the power
    are drawn for each. ``crossing``: how far times and powers differ; -1 turns the order of the first half around."""

    def curve(ids: Ids, length: float) -> Array:
        drawn = _uniform(ids[:, None] * 4 + np.arange(3), seed)
        left, late, steep = drawn.T
        if crossing < 0:
            return np.where(length < HALF, 1 - left, left)
        scale = 2.0 * 10 ** (crossing * (late - 0.5))
        return left + (1 - left) * (1 + length / scale) ** -(1 + crossing * (steep - 0.5))

    return curve


HALF = 20.0


def _uniform(keys: Ids, seed: int) -> Array:
    """Numbers in (0, 1) that depend on the keys and the seed only (SplitMix64)."""
    with np.errstate(over="ignore"):
        x = keys.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    return (x.astype(np.float64) + 0.5) / 2**64
