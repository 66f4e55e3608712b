"""Accelerated methods on quasar-convex functions."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._registry import get
from ..claim import at_most, claim
from ..problem import Problem, descend
from ..problems import bent_regression, linear_system
from .descent import square
from .wrong import instead, scaled, told

QUASAR = "Accelerated Stochastic Optimization Methods under Quasar-convexity"


def curvature_of_bent_regression(seed: int, slope: float = 0.2, rows: int = 60, size: int = 6) -> float:
    """L: the Hessian is the mean of hᵢaᵢaᵢᵀ, hᵢ = σ'² + (σ(u) - σ(v))σ″(u), with |σ″| = 2(1-s)|tanh u|sech²u, where
    |tanh u|sech²u ≤ 0.385 and |u| times that ≤ 0.45."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    v = (a @ (2 * torch.randn(2, size, generator=random, dtype=torch.float64)[0])).abs()
    bend = 1 + 2 * (1 - slope) * (0.45 * slope + 0.385 * (slope * v + 2 * (1 - slope)))
    return float(torch.linalg.eigvalsh((bend.unsqueeze(1) * a).mT @ a / rows)[-1])


@claim(
    "QAGD", QUASAR, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("QAGD", 1e-4), seeds=3
)
def quasar_convexity_is_enough_for_acceleration(method: Any, seed: int) -> float:
    """With exact gradients of an L-smooth, γ-quasar-convex f, f(y_k) - f* ≤ 4L/(γ²(k+1)²) (½‖x_0 - x*‖² + γ²(f(x_0) -
    f*)/4L).

    The largest ratio of both over 150 steps on regression through a bent link, γ = 0.4, which is not convex.
    """
    p, smooth = bent_regression(seed=seed), curvature_of_bent_regression(seed)
    assert p.quasar is not None
    losses = descend(p, method, 150, lr=1 / smooth, gamma=p.quasar).losses
    first = square(p, p.start) / 2 + p.quasar**2 * losses[0] / (4 * smooth)
    return max(
        loss * p.quasar**2 * (k + 1) ** 2 / (4 * smooth * first) for k, loss in enumerate(losses) if k > 0
    )


def evaluations(method: Any, p: Problem, steps: int, **hyper: Any) -> float:
    """Of the loss and gradient, a step."""
    counted = [0]

    def loss(x: Any) -> Any:
        counted[0] += 1
        return p.loss(x)

    seen = Problem("counted", loss, p.start)
    descend(seen, method, steps, **hyper)
    return (counted[0] - steps - 1) / steps


@claim(
    "QAGD", QUASAR, kind="empirical", predicts=at_most(2.5), tolerance=0.0,
    wrong=instead("StochasticProximalPoint"), seeds=4,
    scale="regression through a bent link in 6 dimensions, 100 steps",
)  # fmt: skip
def the_search_costs_little(method: Any, seed: int) -> float:
    """The search for the momentum takes O(log) evaluations at worst; its first guess mostly does.

    Evaluations a step, of which two are needed without a search.
    """
    p = bent_regression(seed=seed)
    return evaluations(method, p, 100, lr=1 / curvature_of_bent_regression(seed), gamma=0.4)


@claim(
    "QASGD", QUASAR, kind="empirical", predicts=at_most(0.0), tolerance=0.05,
    wrong=told("QASGD", lr=1e-9), seeds=6, cost="full",
    scale="linear systems of 2 states, one white input of 12 steps a gradient, 60 steps from 10 % off",
)  # fmt: skip
def quasar_acceleration_learns_linear_systems_faster(method: Any, seed: int) -> float:
    """In learning linear dynamical systems QASGD has a lower loss than SGD after as many evaluations.

    The decimal logarithm of the mean loss over the last ten points, after 60 steps of QASGD over that after 120 of SGD,
    each at its best rate of a grid of factors of 4; γ = 0.8. What is below 1e-8 of the first loss counts as that.
    """
    p = linear_system(2, 12, seed)
    least = 1e-8 * float(p.loss(p.start))

    def end(which: Any, lr: float, steps: int, **hyper: Any) -> float:
        losses = descend(p, which, steps, seed, batch=1, lr=lr, **hyper).losses
        last = sum(losses[-10:]) / 10
        return max(last, least) if math.isfinite(last) else math.inf

    mine = min(end(method, 4.0**k, 60, gamma=0.8) for k in range(-9, -3))
    theirs = min(end(get("SGD", "optimizer").target, 4.0**k, 120) for k in range(-6, 0))
    return math.log10(mine / theirs)
