"""Rates of gradient descent and its accelerated and stochastic relatives on smooth functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import torch

from ..claim import at_most, between, claim
from ..problem import Problem, descend
from ..problems import least_squares, logistic, quadratic, wavy
from .papers import HANDBOOK, NESTEROV
from .wrong import scaled, told

POLYAK = "Some methods of speeding up the convergence of iteration methods"
PAINLESS = "Painless Stochastic Gradient: Interpolation, Line-Search, and Convergence Rates"

FLAT = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001, 0.0)  # convex, not strongly


def worst(seen: Iterable[float], bound: Iterable[float]) -> float:
    """The largest of seen / bound: at most 1 where the bound holds."""
    return max(s / b if math.isfinite(s) else math.inf for s, b in zip(seen, bound, strict=True))


def square(p: Problem, x: torch.Tensor) -> float:
    """‖x - x*‖²."""
    assert p.minimizer is not None
    return float((x - p.minimizer).square().sum())


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 2.5), seeds=3
)
def gradient_descent_on_convex_functions(method: Any, seed: int) -> float:
    """On a convex, L-smooth function gradient descent with the rate γ ≤ 1/L has f(x_t) - inf f ≤ ‖x_0 - x*‖² / 2γt.

    The largest ratio of both sides over 300 steps, on a singular quadratic with random axes.
    """
    p = quadratic(FLAT, seed)
    trace = descend(p, method, 300, lr=1.0)
    return worst(trace.losses[1:], (square(p, p.start) / (2 * t) for t in range(1, 301)))


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 0.2), seeds=3
)
def gradient_descent_contracts_under_strong_convexity(method: Any, seed: int) -> float:
    """On a μ-strongly convex, L-smooth function ‖x_t - x*‖² ≤ (1 - γμ)^t ‖x_0 - x*‖² with the rate γ ≤ 1/L.

    Logistic regression with a ridge; the wrong method is five times slower and misses the pace.
    """
    p = logistic(seed=seed, weight=0.1)
    assert p.smoothness is not None and p.strength is not None
    trace = descend(p, method, 150, lr=1 / p.smoothness)
    pace = 1 - p.strength / p.smoothness
    return worst(
        (square(p, x) for x in trace.points[1:]),
        (pace**t * square(p, p.start) + 1e-25 for t in range(1, 151)),
    )


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 4.0), seeds=3
)
def gradient_descent_under_the_pl_inequality(method: Any, seed: int) -> float:
    """Where ‖∇f‖² ≥ 2μ (f - inf f), convex or not, f(x_t) - inf f ≤ (1 - γμ)^t (f(x_0) - inf f) with the rate γ ≤ 1/L.

    On x² + 3 sin²x, from starts between -4 and 4.
    """
    p = wavy(4 * math.sin(1 + seed))
    trace = descend(p, method, 200, lr=1 / 8)
    return worst(trace.losses[1:], ((1 - 1 / 256) ** t * trace.losses[0] + 1e-300 for t in range(1, 201)))


@claim(
    "SGD",
    HANDBOOK,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 1e-4),
    in_mean=True,
    seeds=6,
)
def sgd_reaches_a_neighbourhood_at_a_linear_pace(method: Any, seed: int) -> float:
    """On a sum of convex, L-smooth functions, μ-strongly convex as a whole, E‖x_t - x*‖² ≤ (1 - γμ)^t ‖x_0 - x*‖² +
    2γσ²/μ with γ ≤ 1/2L, σ² the variance of gradients at the minimum.

    Least squares with noise, one row a step; the ratio at the last of 200 steps.
    """
    p = least_squares(noise=1.0, seed=0)
    smooth, spread = _rows(1.0)
    gamma, t = 1 / (2 * smooth), 200
    assert p.strength is not None
    bound = (1 - gamma * p.strength) ** t * square(p, p.start) + 2 * gamma * spread / p.strength
    return square(p, descend(p, method, t, seed, batch=1, lr=gamma).end) / bound


@claim(
    "SGD",
    HANDBOOK,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 1e-4),
    in_mean=True,
    seeds=6,
)
def averaged_sgd_on_convex_functions(method: Any, seed: int) -> float:
    """On a sum of convex, L-smooth functions the average of SGD's points has E f(x̄_t) - inf f ≤ ‖x_0 - x*‖² / γt + 2γσ²
    with γ ≤ 1/4L.

    Least squares with noise, one row a step, 200 steps.
    """
    p = least_squares(noise=1.0, seed=0)
    smooth, spread = _rows(1.0)
    gamma, t = 1 / (4 * smooth), 200
    trace = descend(p, method, t, seed, batch=1, lr=gamma)
    return p.gap(trace.mean) / (square(p, p.start) / (gamma * t) + 2 * gamma * spread)


@functools.cache
def _rows(noise: float) -> tuple[float, float]:
    """The largest smoothness of a row of ``least_squares(noise=noise, seed=0)``, and the mean ‖∇fᵢ(x*)‖², both seen in
    gradients of draws that meet every row many times."""
    p = least_squares(noise=noise, seed=0)
    assert p.minimizer is not None
    smooth, squares = 0.0, []
    for i in range(400):
        near, far = (_slope(p, x, i) for x in (p.minimizer, p.minimizer + torch.ones_like(p.minimizer)))
        row = far - near  # aᵢ aᵢᵀ1, so that ‖row‖² / |1ᵀrow| = ‖aᵢ‖²
        smooth = max(smooth, float(row.square().sum() / row.sum().abs()))
        squares.append(float(near.square().sum()))
    return smooth, sum(squares) / len(squares)


def _slope(p: Problem, x: torch.Tensor, seed: int) -> torch.Tensor:
    assert p.draw is not None
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(p.draw(x, torch.Generator().manual_seed(seed)), x)
    return g


@claim(
    "SGD",
    POLYAK,
    kind="theorem",
    predicts=between(-0.03, 0.03),
    tolerance=0.0,
    wrong=told("SGD", momentum=0.3),
    seeds=3,
)
def heavy_ball_has_polyaks_rate(method: Any, seed: int) -> float:
    """On a quadratic of condition number κ the heavy ball with lr = 4/(√L+√μ)² and momentum ((√κ-1)/(√κ+1))²
    contracts by (√κ-1)/(√κ+1) a step in the end.

    The relative difference between this and the mean contraction of steps 50 to 120, κ = 100.
    """
    p = quadratic((1.0, 0.6, 0.3, 0.1, 0.03, 0.01), seed)
    root = math.sqrt(0.01)
    pace = (1 - root) / (1 + root)
    trace = descend(p, method, 120, lr=4 / (1 + root) ** 2, momentum=pace**2)
    seen = (square(p, trace.points[120]) / square(p, trace.points[50])) ** (1 / 140)
    return seen / pace - 1


@claim(
    "SGD",
    NESTEROV,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("SGD", nesterov=False, momentum=0.0),
    seeds=3,
)
def nesterovs_method_on_strongly_convex_functions(method: Any, seed: int) -> float:
    """With the rate 1/L and momentum (1-q)/(1+q), q = √(μ/L), the points from which gradients are taken lead to x_t
    with f(x_t) - inf f ≤ (1 - q)^t (f(x_0) - inf f + μ/2 ‖x_0 - x*‖²).

    The points of the implementation are the extrapolated ones, y_t; x_{t+1} = y_t - ∇f(y_t)/L. κ = 400.
    """
    p = quadratic((1.0, 0.4, 0.1, 0.02, 0.0025), seed)
    q = math.sqrt(0.0025)
    trace = descend(p, method, 200, lr=1.0, momentum=(1 - q) / (1 + q), nesterov=True)
    seen = (p.gap(y - p.gradient(y)) for y in trace.points[:-1])
    first = trace.losses[0] + 0.0025 / 2 * square(p, p.start)
    return worst(seen, ((1 - q) ** t * first for t in range(1, 201)))


@claim(
    "ArmijoSGD",
    PAINLESS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("ArmijoSGD", lr=1e-6),
    in_mean=True,
    seeds=4,
)
def line_searches_converge_linearly_under_interpolation(method: Any, seed: int) -> float:
    """Where one point minimises all f_i, SGD with an Armijo search (c ≥ 1/2) has E‖x_t - x*‖² ≤ (1 - μ/L_max)^t
    ‖x_0 - x*‖² if steps are not capped below 1/L_max.

    Least squares without noise, one row a step, 100 steps; μ is that of the whole sum.
    """
    p = least_squares(seed=0)
    (smooth, _), t = _rows(0.0), 100
    assert p.strength is not None
    trace = descend(p, method, t, seed, batch=1, lr=10.0, init_step_size=10.0, c=0.5, n_batches_per_epoch=1)
    return square(p, trace.end) / ((1 - p.strength / smooth) ** t * square(p, p.start))
