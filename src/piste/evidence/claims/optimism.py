"""Steps against the gradient that is expected next."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._registry import get
from ..claim import at_most, claim, equal
from ..problem import descend
from ..problems import logistic
from ..tuning import steps_to, tuned
from .identities import farthest, noise, walk
from .stochastic import draws, run
from .wrong import instead, told

OPT = "An Optimistic Acceleration of AMSGrad for Nonconvex Optimization"


@claim(
    "OptimisticAMSGrad",
    OPT,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=1e-6,
    wrong=instead("AMSGrad", betas=(0.9, 0.99), paper=True),
    seeds=2,
)
def gradients_that_are_guessed_right_do_not_shorten_steps(method: Any, seed: int) -> float:
    """The scale is of what the guess missed: v sums (g - m)², so that it stays as it is as long as gradients are
    guessed, while AMSGrad's grows to g².

    The length of a step over that of η g / √((1-β₂) g₁²), the scale of the first gradient, which could not be guessed:
    the 200th of equal gradients, 5 numbers.
    """
    g = draws(seed)(5) + 3
    points = run(method, torch.zeros(5, dtype=torch.float64), lambda _, x: g, 200, lr=0.01, eps=1e-12)
    return float(((points[-2] - points[-1]) / (0.01 * g.sign() / 0.1)).mean())


@claim(
    "OptimisticAMSGrad",
    OPT,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=instead("AMSGrad", betas=(0.9, 0.99), paper=True),
    seeds=2,
)
def the_half_step_ahead_is_taken_back(method: Any, seed: int) -> float:
    """Behind the weights there is a sequence w̃ that takes steps ηθ/√v̂ only; the weights are w̃ less the half step
    η h/√v̂ against the guess.

    The largest distance of the weights from w̃ - ηh/√v̂ over 60 random gradients, both written out with m the last
    gradient (span = 0), β = (0.9, 0.99), over the rate.
    """
    draw, rate = noise(seed, 20), 0.01
    points = walk(method, torch.zeros(20, dtype=torch.float64), draw, 60, lr=rate, span=0)
    zero = torch.zeros(20, dtype=torch.float64)
    hidden, theta, v, largest, m, want = zero, zero, zero, zero, zero, [zero]
    for t in range(60):
        g = draw(t, zero)
        before, theta = theta, 0.9 * theta + 0.1 * g
        v = 0.99 * v + 0.01 * (g - m).square()
        largest, m = torch.maximum(largest, v), g
        hidden = hidden - rate * theta / (largest.sqrt() + 1e-8)
        want.append(hidden - rate * (0.9 * before + 0.1 * m) / (largest.sqrt() + 1e-8))
    return farthest(points, want) / rate


def _steps(method: Any, seed: int, rate: float, **hyper: Any) -> float:
    """Until logistic regression with exact gradients is within 1e-3 of its minimum; more than 400 where it is not."""
    p = logistic(seed=seed)
    losses = descend(p, method, 400, lr=rate, **hyper).losses
    found = steps_to(losses, float(p.minimum) + 1e-3)  # pyright: ignore[reportArgumentType]
    return found if math.isfinite(found) else 400 * (1 + min(losses[-1], 1e3))


@claim(
    "OptimisticAMSGrad",
    OPT,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("OptimisticAMSGrad", lr=1e-3),
    seeds=5,
    cost="full",
    scale="logistic regression, 60 rows of 10, exact gradients, to within 1e-3 of the minimum, both at the best of 4 "
    "rates or more",
)
def optimism_takes_fewer_steps_than_amsgrad(method: Any, seed: int) -> float:
    """Where gradients can be predicted OPT-AMSGrad converges faster than AMSGrad.

    Its steps over AMSGrad's (the paper's, without debiasing), β = (0.9, 0.99) and a span of 5.
    """
    rates = (0.03, 0.1, 0.3)
    amsgrad = get("AMSGrad", "optimizer").target
    plain = tuned(lambda r: _steps(amsgrad, seed, r, betas=(0.9, 0.99), paper=True), rates).score
    return tuned(lambda r: _steps(method, seed, r), rates).score / plain
