"""Lookahead: what slow weights do to noise, and to a momentum that overshoots."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..claim import at_most, claim, equal
from ..tuning import tuned
from .stochastic import draws, run
from .wrong import instead, told

AHEAD = "Lookahead Optimizer: k steps forward, 1 step back"


@claim(
    "LookaheadSGD",
    AHEAD,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.05,
    wrong=told("LookaheadSGD", alpha=1.0),
    in_mean=True,
    seeds=4,
)
def slow_weights_have_the_variance_of_the_noisy_quadratic_model(method: Any, seed: int) -> float:
    """On ½ a x² with noise of variance a²σ² in the minimum's place, Lookahead's slow weights have a steady variance of
    α²(1 - r^2k) / [α²(1 - r^2k) + 2α(1-α)(1 - r^k)] times SGD's η²a²σ²/(1 - r²), r = 1 - ηa.

    The variance seen over that, from step 300 to 1,000 at every k-th step, 4,000 runs; a = 1, η = 0.3, k = 5, α = ½.
    """
    normal, k, alpha, r = draws(seed), 5, 0.5, 0.7
    points = run(
        method, torch.zeros(4000, dtype=torch.float64), lambda _, x: x - normal(4000), 600, lr=1 - r, momentum=0.0,
        k=k, alpha=alpha,
    )  # fmt: skip
    spread, forth = alpha**2 * (1 - r ** (2 * k)), 2 * alpha * (1 - alpha) * (1 - r**k)
    return float(points[200::k].square().mean()) / (spread / (spread + forth) * (1 - r) ** 2 / (1 - r**2))


SPECTRUM = 10 ** torch.linspace(0, -2, 10, dtype=torch.float64)


def _factor(method: Any, seed: int, rate: float, momentum: float) -> float:
    """The mean factor a step of the distance to the minimum of a quadratic, κ = 100, from step 200 to 400."""
    points = run(
        method, draws(seed)(10), lambda _, x: SPECTRUM * x, 400, lr=rate, momentum=momentum, k=20, alpha=0.5
    )
    factor = float(points[400].norm() / points[200].norm()) ** (1 / 200)
    return factor if math.isfinite(factor) else math.inf


@claim(
    "LookaheadSGD",
    AHEAD,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("LookaheadSGD", alpha=1e-3),
    seeds=3,
)
def lookahead_converges_faster_where_momentum_is_too_large(method: Any, seed: int) -> float:
    """On a quadratic Lookahead (k = 20, α = ½) improves the rate of momentum SGD where the momentum is under-damped.

    log of momentum SGD's factor a step over log of Lookahead's, both at their best rates of a grid, μ = 0.99, κ = 100.
    """
    sgd = instead("SGD", momentum=0.99)
    plain = tuned(lambda rate: _factor(sgd, seed, rate, 0.99), (0.1, 0.4, 1.6)).score
    own = tuned(lambda rate: _factor(method, seed, rate, 0.99), (0.1, 0.4, 1.6)).score
    return math.log(plain) / math.log(own) if own < 1 else math.inf
