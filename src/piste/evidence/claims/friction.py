"""diffGrad: slower where the gradient does not change."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, between, claim, equal
from ..problem import Problem, descend
from .given_gradients import best_loss, normal, steps_of
from .wrong import scaled, told

DIFFGRAD = "diffGrad: An Optimization Method for Convolutional Neural Networks"
SLOW = dict(lr=0.1, betas=(0.95, 0.999))


def two_bowls() -> Problem:
    """(x + 0.3)² left of 0 and (x - 0.2)² + 0.05 right of it, from -1: the lower minimum comes first."""

    def f(x: Tensor) -> Tensor:
        return torch.where(x <= 0, (x + 0.3).square(), (x - 0.2).square() + 0.05).sum()

    return Problem(
        "two bowls",
        f,
        torch.tensor([-1.0], dtype=torch.float64),
        0.0,
        torch.tensor([-0.3], dtype=torch.float64),
    )


def ripples() -> Problem:
    """x³ + x sin 8x + 0.85 right of -0.9 and a steep line left of it, from -1."""

    def f(x: Tensor) -> Tensor:
        return torch.where(x <= -0.9, -40 * x - 35.15, x**3 + x * (8 * x).sin() + 0.85).sum()

    return Problem("ripples", f, torch.tensor([-1.0], dtype=torch.float64))


@claim(
    "DiffGrad", DIFFGRAD, kind="theorem", predicts=at_most(1e-3), tolerance=0.0, wrong=told("Adam"), seeds=1
)
def friction_stops_in_the_lower_minimum(method: Any, seed: int) -> float:
    """On (x + 0.3)² left of 0 and (x - 0.2)² + 0.05 right of it diffGrad comes to rest in the lower minimum, which Adam
    runs through.

    f after 300 steps from -1, η = 0.1, β₁ = 0.95. (The paper's first function; the numbers of its figure, of which
    these are recalled, were not at hand.)
    """
    return descend(two_bowls(), method, 300, **SLOW).losses[-1]  # type: ignore[arg-type]


@claim(
    "DiffGrad", DIFFGRAD, kind="theorem", predicts=at_most(0.05), tolerance=0.0, wrong=told("Adam"), seeds=1
)
def friction_stops_among_ripples(method: Any, seed: int) -> float:
    """On x³ + x sin 8x + 0.85 diffGrad comes to rest in the low minimum on its way, where Adam passes it.

    f after 300 steps from -1, η = 0.1, β₁ = 0.95. (The paper's second function, recalled as the first.)
    """
    return descend(ripples(), method, 300, **SLOW).losses[-1]  # type: ignore[arg-type]


@claim(
    "DiffGrad", DIFFGRAD, kind="identity", predicts=equal(0.5), tolerance=1e-6, wrong=told("Adam"), seeds=2
)
def a_gradient_that_stays_gets_half_a_step(method: Any, seed: int) -> float:
    """Where the gradient does not change diffGrad's step is half of Adam's.

    Its step over η on constant gradients of N(0, 1), the one of steps 2 to 30 that is farthest from ½.
    """
    grads = normal(seed, 1, 40).expand(30, -1)
    sizes = steps_of(method, grads, lr=0.01, eps=1e-30)[1:].abs().flatten()
    return float(sizes[(sizes - 0.5).abs().argmax()])


@claim(
    "DiffGrad",
    DIFFGRAD,
    kind="theorem",
    predicts=between(0.5, 1.0),
    tolerance=1e-9,
    wrong=scaled("DiffGrad", 3.0),
    seeds=3,
)
def friction_takes_at_most_half_of_a_step(method: Any, seed: int) -> float:
    """Friction lies between ½, where gradients stay, and 1, where they change much.

    The ratio to Adam's step that is farthest from ¾, over 40 gradients of sizes 1e-3 to 1e3.
    """
    grads = normal(seed, 40, 60) * torch.logspace(-3, 3, 60, dtype=torch.float64)
    hyper: dict[str, Any] = dict(lr=0.01, eps=1e-30)
    ratio = steps_of(method, grads, **hyper) / steps_of(get("Adam", "optimizer").target, grads, **hyper)
    return float(ratio.flatten()[(ratio.flatten() - 0.75).abs().argmax()])


@claim(
    "DiffGrad",
    DIFFGRAD,
    kind="empirical",
    predicts=at_most(-0.05),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=8,
    cost="full",
    scale="digits of 8 × 8 pixels, 1,000 known and 797 new, ReLU networks of 32 units, 300 steps on "
    "batches of 50 at rates that fall to 0, tuned on grids of a factor of 2",
)
def diffgrad_classifies_better_than_adam(method: Any, seed: int) -> float:
    """Networks trained with diffGrad classify images better than Adam's.

    The logarithm of the loss on new digits less that of Adam's. (Five hundredths are the least that counts as better.)
    """
    return math.log(best_loss(method.__name__, seed) / best_loss("Adam", seed))
