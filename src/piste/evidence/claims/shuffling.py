"""What the order of the examples is worth."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, claim
from .stochastic import run

TIGHTER = "Tighter Lower Bounds for Shuffling SGD: Random Permutations and Beyond"
SHUFFLING = "Random Reshuffling: Simple Analysis with Vast Improvements"
RUNS, RATES = 256, 8


def reshuffled(tilts: Tensor, random: torch.Generator) -> Tensor:
    """A new random order in every row."""
    return tilts[torch.rand(RUNS * RATES, len(tilts), generator=random).argsort(1)]


def drawn(tilts: Tensor, random: torch.Generator) -> Tensor:
    """As many, with replacement."""
    return tilts[torch.randint(len(tilts), (RUNS * RATES, len(tilts)), generator=random)]


def balanced(tilts: Tensor, random: torch.Generator) -> Tensor:
    """Every example after its opposite."""
    return tilts.view(2, -1).T.flatten().expand(RUNS * RATES, -1)


def exact(tilts: Tensor, random: torch.Generator) -> Tensor:
    """The full gradient in every step."""
    return torch.zeros(RUNS * RATES, len(tilts), dtype=torch.float64)


def _best(order: Any, seed: int, epochs: int, size: int = 16) -> float:
    """The lowest of the mean losses that 8 constant rates reach, 256 runs each: fᵢ(x) = c(x) x²/2 ± x, as many of
    either sign, c = 4 left of 0 and 1 right of it; inf f = 0 at 0."""
    random = torch.Generator().manual_seed(seed)
    tilts = torch.tensor([1.0, -1.0]).repeat_interleave(size // 2).double()
    rates = (8.0 / (size * epochs) * 1.4 ** torch.arange(-3, RATES - 3)).double().repeat_interleave(RUNS)
    signs: list[Tensor] = []

    def slope(t: int, x: Tensor) -> Tensor:
        if t % size == 0:
            signs[:] = order(tilts, random).T
        return rates * (torch.where(x < 0, 4.0, 1.0) * x + signs[t % size])

    sgd = get("SGD", "optimizer").target
    end = run(sgd, torch.ones(RUNS * RATES, dtype=torch.float64), slope, epochs * size, lr=1.0)[-1]
    losses = (torch.where(end < 0, 2.0, 0.5) * end.square()).view(RATES, RUNS).mean(1)
    return float(losses.min())


def _power(order: Any, seed: int) -> float:
    return math.log(_best(order, seed, 64) / _best(order, seed, 16)) / math.log(4.0)


@claim(
    "random reshuffling",
    SHUFFLING,
    kind="empirical",
    predicts=at_most(-1.5),
    tolerance=0.0,
    wrong=drawn,
    subject=reshuffled,
    seeds=4,
    scale="16 functions of one number, curvatures 4 and 1, 16 and 64 epochs, the best of 8 constant rates, 256 runs",
)
def reshufflings_error_falls_with_the_square_of_epochs(method: Any, seed: int) -> float:
    """On strongly convex sums the error of random reshuffling falls as 1/K², up to a squared logarithm of the number
    of epochs K, and that of draws with replacement as 1/K.

    The power of K, from 16 to 64 epochs, by which the last point's loss falls; -1.5 leaves room for the logarithm.
    """
    return _power(method, seed)


@claim(
    "random reshuffling",
    TIGHTER,
    kind="empirical",
    predicts=at_least(0.01),
    tolerance=0.0,
    wrong=exact,
    subject=reshuffled,
    seeds=4,
    scale="16 functions of one number, curvatures 4 and 1, 64 epochs, the best of 8 constant rates, 256 runs",
)
def reshufflings_error_falls_no_faster_than_the_square_of_epochs(method: Any, seed: int) -> float:
    """There are strongly convex sums, quadratic on either side of their minimum, where no constant rate brings the
    error of random reshuffling below the order of Lν²/μ²nK².

    The last point's loss after 64 epochs over Lν²/μ²nK² (the paper leaves the constant open: 0.01 is taken for one).
    """
    return _best(method, seed, 64) * 16 * 64**2 / 4


@claim(
    "random reshuffling",
    TIGHTER,
    kind="empirical",
    predicts=at_least(-1.0),
    tolerance=0.15,
    wrong=balanced,
    subject=reshuffled,
    seeds=6,
    scale="8 and 32 functions of one number, curvatures 4 and 1, 24 epochs, the best of 8 constant rates, 256 runs",
)
def more_examples_help_reshuffling_linearly_only(method: Any, seed: int) -> float:
    """With n examples the error of random reshuffling is at least of the order of 1/nK², where that of well-chosen
    orders is of 1/n²K².

    The power of n by which the last point's loss falls from 8 to 32 examples; the wrong order sees every example after
    its opposite.
    """
    return math.log(_best(method, seed, 24, 32) / _best(method, seed, 24, 8)) / math.log(4.0)
