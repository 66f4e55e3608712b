"""Functions that are not convex: quasar-convex, weakly convex, and real tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..claim import at_most, claim
from ..problem import Problem, descend
from ..problems import bent_regression, phase_retrieval, table
from ..problems.nonconvex import gradient_bound
from .descent import square
from .papers import NESTEROV
from .wrong import scaled, told

STRUCTURED = "SGD for Structured Nonconvex Functions: Learning Rates, Minibatching and Interpolation"
SHARP = "Subgradient Methods for Sharp Weakly Convex Functions"


@claim(
    "SGD",
    STRUCTURED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 1e-3),
    seeds=4,
)
def gradient_descent_on_quasar_convex_functions(method: Any, seed: int) -> float:
    """Quasar-convexity, ⟨∇f(x), x - x*⟩ ≥ ζ (f(x) - inf f), is enough: at the rate ζ/2L, ‖∇f‖² ≤ 2L (f - inf f),
    the least f(x_t) - inf f over T steps is at most 2L ‖x_0 - x*‖² / ζ²T.

    The largest ratio of both over T ≤ 300, on regression through a bent link with ζ = 0.4, which is not convex.
    """
    p, smooth = bent_regression(seed=seed), gradient_bound(seed=seed)
    assert p.quasar is not None
    losses = descend(p, method, 300, lr=p.quasar / (2 * smooth)).losses
    far, least, worst = square(p, p.start), math.inf, 0.0
    for t, loss in enumerate(losses, 1):
        least = min(least, loss)
        worst = max(worst, least * p.quasar**2 * t / (2 * smooth * far))
    return worst


def polyak(p: Problem, x: Tensor, t: int) -> Tensor:
    """A subgradient step of the length (f(x) - inf f) / ‖g‖."""
    g = p.gradient(x)
    return x - p.gap(x) / g.square().sum() * g


def of_constant_length(p: Problem, x: Tensor, t: int) -> Tensor:
    g = p.gradient(x)
    return x - 0.02 * g / g.norm()


def geometric(p: Problem, x: Tensor, t: int) -> Tensor:
    """A subgradient step of the length 0.15 · 0.95^t."""
    g = p.gradient(x)
    return x - 0.15 * 0.95**t * g / g.norm()


def harmonic(p: Problem, x: Tensor, t: int) -> Tensor:
    g = p.gradient(x)
    return x - 0.15 / math.sqrt(1 + t) * g / g.norm()


Step = Callable[[Problem, Tensor, int], Tensor]


def _pace(step: Step, seed: int, steps: int) -> float:
    """By what factor a step brings ±x° nearer, on the mean over all of them."""
    p = phase_retrieval(seed=seed)
    assert p.minimizer is not None
    x = p.start
    for t in range(steps):
        x = step(p, x, t)
    near = min(float((x - p.minimizer).norm()), float((x + p.minimizer).norm()))
    return (max(near, 1e-15) / 0.5) ** (1 / steps)


@claim(
    "Polyak's step",
    SHARP,
    kind="empirical",
    predicts=at_most(0.9),
    tolerance=0.0,
    wrong=of_constant_length,
    subject=polyak,
    seeds=4,
    scale="phase retrieval of 10 numbers from 120 measurements, from the distance 0.5, 60 steps",
)
def polyaks_step_is_linear_on_sharp_weakly_convex_functions(method: Step, seed: int) -> float:
    """Where f grows sharply away from its minima and is weakly convex, subgradient steps of Polyak's length converge
    linearly from within a tube around them.

    The factor of a step, in the geometric mean.
    """
    return _pace(method, seed, 60)


@claim(
    "geometrically decaying steps",
    SHARP,
    kind="empirical",
    predicts=at_most(0.96),
    tolerance=0.0,
    wrong=harmonic,
    subject=geometric,
    seeds=4,
    scale="phase retrieval of 10 numbers from 120 measurements, from the distance 0.5, 250 steps",
)
def geometric_steps_are_linear_on_sharp_weakly_convex_functions(method: Step, seed: int) -> float:
    """Without knowing inf f, normalized subgradient steps of the lengths λqᵗ converge linearly at the pace q.

    The factor of a step, in the geometric mean; λ = 0.15, q = 0.95.
    """
    return _pace(method, seed, 250)


@claim(
    "SGD",
    NESTEROV,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("SGD", nesterov=False, momentum=0.0),
    seeds=2,
)
def nesterovs_method_on_real_tables(method: Any, seed: int) -> float:
    """With the momentum (√κ - 1)/(√κ + 1) and the rate 1/L, Nesterov's method has f(x_t) - inf f ≤ (1 - 1/√κ)^t
    (f(x_0) - inf f + μ/2 ‖x_0 - x*‖²), κ = L/μ, whatever the data.

    The largest ratio of both over 150 steps, on ridge regression of diabetes progression (even seeds) and on logistic
    regression of breast tumors (odd ones).
    """
    p = table(("diabetes", "tumors")[seed % 2], weight=0.02)
    assert p.smoothness is not None and p.strength is not None
    root = math.sqrt(p.smoothness / p.strength)
    trace = descend(p, method, 150, lr=1 / p.smoothness, momentum=(root - 1) / (root + 1), nesterov=True)
    first = p.gap(p.start) + 0.5 * p.strength * square(p, p.start)
    return max(
        p.gap(x) / (first * (1 - 1 / root) ** t) for t, x in enumerate(trace.points) if p.gap(x) > 1e-11
    )
