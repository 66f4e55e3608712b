"""Mechanic: a base rule's path, at a scale that is learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal
from .adapted import behind_tuned, cosine_gap
from .identities import noise, walk
from .rows import classes
from .wrong import instead, told

MECHANIC = "Mechanic: A Learning Rate Tuner"


def _aside(method: Any, base: str, seed: int) -> float:
    """How far the way from the start is from being parallel to the base rule's, on given gradients: the largest sine of
    30 steps."""
    draw = noise(seed, 12)
    start = draw(0, torch.zeros(()))

    def slope(t: int, _: Tensor) -> Tensor:
        return draw(t + 1, start) + 1.0

    mine = walk(method, start, slope, 30, lr=0.1)
    base_rule = told(base, weight_decay=0.0, **({"momentum": 0.9} if base == "SGD" else {}))
    theirs = walk(base_rule, start, slope, 30, lr=0.1)
    worst = 0.0
    for a, b in zip(mine[1:], theirs[1:], strict=True):
        a, b = (a - start) / (a - start).norm(), (b - start) / (b - start).norm()
        worst = max(worst, float((a - (a @ b) * b).norm()))
    return worst


def _spread(method: Any, seed: int, rates: tuple[float, ...]) -> float:
    f = classes(seed, ridge=0.01)
    gaps = [cosine_gap(method, f, seed, lr=lr) for lr in rates]
    return math.log10(max(gaps) / min(gaps))


@claim(
    "MechanicSGD", MECHANIC, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=instead("DoG"), seeds=3
)  # fmt: skip
def mechanic_scales_the_path_of_sgd(method: Any, seed: int) -> float:
    """Mechanic's point is the start plus a scale times the sum of the base rule's steps.

    The largest sine of the angle between its way and that of SGD with momentum 0.9, on given gradients.
    """
    return _aside(method, "SGD", seed)


@claim(
    "MechanicAdamW", MECHANIC, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=instead("DoG"), seeds=3
)  # fmt: skip
def mechanic_scales_the_path_of_adamw(method: Any, seed: int) -> float:
    """Mechanic works around any rule: its point is the start plus a scale times the sum of AdamW's steps.

    The largest sine of the angle between its way and AdamW's, on given gradients.
    """
    return _aside(method, "AdamW", seed)


@claim(
    "MechanicLion", MECHANIC, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=instead("DoG"), seeds=3
)  # fmt: skip
def mechanic_scales_the_path_of_lion(method: Any, seed: int) -> float:
    """Mechanic works around any rule: its point is the start plus a scale times the sum of Lion's steps.

    The largest sine of the angle between its way and Lion's, on given gradients.
    """
    return _aside(method, "Lion", seed)


def _plain(name: str) -> Callable[..., Any]:
    return lambda params, lr, **hyper: get(name, "optimizer").target(params, lr=lr)


@claim(
    "MechanicSGD",
    MECHANIC,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=_plain("SGD"),
    seeds=8,
    cost="full",
    scale="logistic regression with 60 rows and 5 columns, batches of 4, 1,000 steps, a cosine; rates 0.001 to 10",
)
def the_rate_that_mechanic_is_told_hardly_matters(method: Any, seed: int) -> float:
    """With Mechanic a heavily misspecified rate of the base rule does little harm: four decades of it.

    The decimal logarithm of the largest gap over the smallest, for the rates 0.001, 0.1 and 10; half a decade is taken
    for little.
    """
    return _spread(method, seed, (1e-3, 1e-1, 1e1))


@claim(
    "MechanicAdamW", MECHANIC, kind="empirical", predicts=at_most(0.0), tolerance=0.3,
    wrong=told("MechanicAdamW", s_init=1e-30, mechanic_eps=1e6), seeds=8, cost="full",
    scale="logistic regression with 60 rows and 5 columns, batches of 4, 1,000 steps, a cosine",
)  # fmt: skip
def mechanic_comes_near_tuned_adamw(method: Any, seed: int) -> float:
    """Mechanic comes close to, matches or improves on manual tuning of the rate: AdamW's.

    The decimal logarithm of its gap over that of AdamW at its best rate, both with a cosine and no decay. A factor of
    two is taken for close.
    """
    return behind_tuned(method, "Adam", seed)


@claim(
    "MechanicLion", MECHANIC, kind="empirical", predicts=at_most(0.0), tolerance=0.3,
    wrong=told("MechanicLion", s_init=1e-30, mechanic_eps=1e6), seeds=8, cost="full",
    scale="logistic regression with 60 rows and 5 columns, batches of 4, 1,000 steps, a cosine",
)  # fmt: skip
def mechanic_comes_near_tuned_lion(method: Any, seed: int) -> float:
    """Mechanic comes close to, matches or improves on manual tuning of the rate: Lion's.

    The decimal logarithm of its gap over that of Lion at its best rate, both with a cosine and no decay. A factor of
    two is taken for close.
    """
    return behind_tuned(method, "Lion", seed)
