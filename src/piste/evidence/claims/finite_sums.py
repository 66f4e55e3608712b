"""SGD on sums of smooth convex functions: bounds on expectations, with all constants.

An expectation is taken over 64 runs beside each other on one instance, so that every instance (a seed) counts.
"""

from __future__ import annotations

import math
from typing import Any

from ..claim import at_most, claim
from .papers import HANDBOOK
from .rows import classes, distances, largest, squares, stochastic, upto
from .wrong import scaled

GENERAL = "SGD: General Analysis and Improved Rates"


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1000.0), seeds=4,
)  # fmt: skip
def sgd_with_rates_that_vanish_like_the_root(method: Any, seed: int) -> float:
    """On a sum of convex, L-smooth functions SGD with γ_t = γ/√(t+1), γ < 1/2L, and points averaged with weights
    w_t = γ_t (1 - 2γ_t L) has E f(x̄) - inf f ≤ ‖x_0 - x*‖² / 2Σw + σ² Σγ_t² / Σw.

    Logistic regression without a ridge, one row a step, γ = 1/4L; the largest ratio for averages of 1 … 300 points, the
    expectation over 64 runs; the wrong method has 1,000 times the rate.
    """
    f = classes(seed)
    top = f.row_smooth
    rates = 1 / (4 * top) / upto(300, 1).sqrt()
    points = stochastic(method, f, seed, 300, lr=lambda t: float(rates[t]))[:-1]
    weights = rates * (1 - 2 * rates * top)
    mean = (weights[:, None, None] * points).cumsum(0) / weights.cumsum(0)[:, None, None]
    bound = (f.best.square().sum() / 2 + f.spread * rates.square().cumsum(0)) / weights.cumsum(0)
    return largest(f.loss(mean).mean(1) - f.minimum, bound)


@claim(
    "SGD", GENERAL, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 20.0), seeds=3,
)  # fmt: skip
def sgd_with_rates_that_vanish_under_strong_convexity(method: Any, seed: int) -> float:
    """SGD at 1/2L for 4K steps, K = ⌈L/μ⌉, and then at (2t+1)/((t+1)²μ) has E‖x_t - x*‖² ≤ 8σ²/μ²t + 16K²/e²t²
    ‖x_0 - x*‖² from then on.

    Least squares with noise and a ridge that makes μ ≥ 2, one row a step, to t = 12K, 64 runs; L is the largest of a
    row.
    """
    f = squares(seed, ridge=2.0, noise=0.1)
    top, mu, far = f.row_smooth, f.strength, float(f.best.square().sum())
    k = math.ceil(top / mu)

    def rate(t: int) -> float:
        return 1 / (2 * top) if t <= 4 * k else (2 * t + 1) / ((t + 1) ** 2 * mu)

    seen = distances(stochastic(method, f, seed, 12 * k, lr=rate), f.best)
    t = upto(12 * k, 4 * k)
    bound = 8 * f.spread / (mu**2 * t) + 16 * k**2 / (math.e * t) ** 2 * far
    return largest(seen[4 * k :], bound)


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 0.1), seeds=4,
)  # fmt: skip
def sgd_under_interpolation_is_as_fast_as_exact(method: Any, seed: int) -> float:
    """Where one point minimizes all functions, σ² = 0 and a constant rate γ = 1/2L has E‖x_t - x*‖² ≤ (1 - γμ)^t
    ‖x_0 - x*‖².

    Least squares without noise, one row a step, the largest ratio over 300 steps, 64 runs; the wrong method is ten
    times slower.
    """
    f = squares(seed, noise=0.0)
    gamma, t = 1 / (2 * f.row_smooth), upto(300, 1)
    seen = distances(stochastic(method, f, seed, 300, lr=gamma), f.best)[1:]
    return largest(seen, (1 - gamma * f.strength) ** t * f.best.square().sum())


def _batched(count: int, batch: int, one: float, whole: float) -> float:
    """The Handbook's interpolation between a constant of single rows and that of all of them."""
    return (batch - 1) * count / (batch * (count - 1)) * whole + (count - batch) / (batch * (count - 1)) * one


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 8.0),
    seeds=3,
)  # fmt: skip
def batches_without_replacement_have_a_smoothness_of_their_own(method: Any, seed: int) -> float:
    """A batch of b of n rows drawn without twins has L_b = n(b-1)/b(n-1) L + (n-b)/b(n-1) L_max and σ_b² = (n-b)/b(n-1)
    σ², with which E‖x_t - x*‖² ≤ (1 - γμ)^t ‖x_0 - x*‖² + 2γσ_b²/μ for γ = 1/2L_b.

    Least squares with noise, batches of 1, 4, 10 and 40 of 40 rows, the largest ratio over 120 steps, 64 runs.
    """
    f, worst = squares(seed), 0.0
    n, t = len(f.a), upto(120, 1)
    for batch in (1, 4, 10, n):
        gamma = 1 / (2 * _batched(n, batch, f.row_smooth, f.smooth))
        spread = _batched(n, batch, f.spread, 0.0)
        seen = distances(stochastic(method, f, seed, 120, batch, lr=gamma), f.best)[1:]
        bound = (1 - gamma * f.strength) ** t * f.best.square().sum() + 2 * gamma * spread / f.strength
        worst = max(worst, largest(seen, bound))
    return worst


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1e-3), seeds=3,
)  # fmt: skip
def sgd_under_the_pl_inequality(method: Any, seed: int) -> float:
    """On an L-smooth f with ‖∇f‖² ≥ 2μ (f - inf f), a mean of L_max-smooth functions, E f(x_t) - inf f ≤ (1 - γμ)^t
    (f(x_0) - inf f) + γ L L_max Δ/μ with γ ≤ μ/(L L_max) and Δ = inf f - mean inf fᵢ.

    Least squares of 8 rows in 20 dimensions (PL, not strongly convex), where Δ = 0; one row a step, the largest ratio
    over 1,000 steps, 64 runs; the wrong method is a thousand times slower.
    """
    f = squares(seed, rows=8, size=20, noise=1.0)
    mu = float(f.spectrum[f.spectrum > 1e-9].min())
    gamma, t = mu / (f.smooth * f.row_smooth), upto(1000, 1)
    losses = f.loss(stochastic(method, f, seed, 1000, lr=gamma)).mean(1)
    return largest(losses[1:], (1 - gamma * mu) ** t * losses[0])


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 400.0),
    seeds=4,
)  # fmt: skip
def stochastic_momentum_whose_last_point_is_an_average(method: Any, seed: int) -> float:
    """Momentum t/(t+2) at the rate 2γ/(t+3), γ ≤ 1/4L, has at its last point E f(x_t) - inf f ≤ ‖x_0 - x*‖² / γ(t+1)
    + 2γσ².

    Least squares with noise, one row a step, the largest ratio over 300 steps, 64 runs.
    """
    f = squares(seed)
    gamma, t = 1 / (4 * f.row_smooth), upto(300)
    points = stochastic(
        method, f, seed, 300, lr=lambda t: 2 * gamma / (t + 3), momentum=lambda t: max(t, 1) / (t + 2)
    )
    bound = f.best.square().sum() / (gamma * (t + 1)) + 2 * gamma * f.spread
    return largest(f.loss(points).mean(1) - f.minimum, bound)
