"""Rates that find themselves: AdaGrad with one rate for all parameters."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms.adaptive import scale_by_adagrad_norm
from ...transforms.decay import descend
from ..claim import at_most, claim
from ..methods import of_chain
from .stochastic import draws, run
from .wrong import scaled

ADAGRAD_NORM = (
    "SGD with AdaGrad Stepsizes: Full Adaptivity with High Probability to Unknown Parameters, Unbounded Gradients "
    "and Affine Variance"
)
DECADES = (0.1, 1.0, 10.0, 100.0, 1000.0)
adagrad_norm = of_chain(lambda lr: chain(scale_by_adagrad_norm(0.0, 1e-4), descend(lr)))


def _wavy(x: Tensor) -> tuple[Tensor, Tensor]:
    """f = Σ xᵢ² + 3 sin²xᵢ, not convex, L = 8 and inf f = 0; and its gradient."""
    return (x.square() + 3 * x.sin().square()).sum(-1), 2 * x + 3 * (2 * x).sin()


@claim(
    "scale_by_adagrad_norm",
    ADAGRAD_NORM,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 1.0),
    subject=adagrad_norm,
    seeds=3,
)
def adagrad_norm_bounds_its_gradients_at_every_rate(method: Any, seed: int) -> float:
    """Without knowing L, the noise or the distance, AdaGrad-Norm bounds its gradients at every rate η. Without noise,
    on any smooth f: b_T - b₀²/b_T ≤ (f(x₀) - inf f)/η + Lη ln(b_T/b₀), b_T² = b₀² + Σ ‖∇f(x_t)‖².

    (The sum of the descent lemma's inequalities gives this one.) The largest ratio of the sides over η = 0.1, 1,
    …, 1000: Σ x² + 3 sin²x in 4 dimensions, 80 steps, b₀ = 0.01.
    """
    start, worst = 2 * draws(seed)(4), 0.0
    for rate in DECADES:
        points = run(method, start, lambda _, x: _wavy(x)[1], 80, lr=rate)
        total = math.sqrt(1e-4 + float(_wavy(points[:-1])[1].square().sum()))
        bound = float(_wavy(start)[0]) / rate + 8 * rate * math.log(total / 0.01)
        ratio = (total - 1e-4 / total) / bound
        worst = max(worst, ratio if math.isfinite(ratio) else math.inf)
    return worst


def _squares(method: Any, seed: int, steps: int, rate: float, still: float, growth: float) -> Tensor:
    """‖∇f‖² along the way on ½ Σ λᵢxᵢ², λ = 1, …, 1/8, in 16 dimensions, from
    ‖x‖ = 1; noise of variance still² + growth² ‖∇f‖²."""
    normal, curve = draws(seed), 0.125 ** torch.linspace(0, 1, 16, dtype=torch.float64)
    start = normal(16)
    start = start / start.norm()

    def slope(_: int, x: Tensor) -> Tensor:
        g = curve * x
        return g + ((still**2 + growth**2 * g.square().sum()) / 16).sqrt() * normal(16)

    return (curve * run(method, start, slope, steps, lr=rate)[:-1]).square().sum(1)


@claim(
    "scale_by_adagrad_norm",
    ADAGRAD_NORM,
    kind="empirical",
    predicts=at_most(0.1),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=adagrad_norm,
    seeds=3,
    scale="a quadratic in 16 dimensions, the rates 0.1 to 1000, noise of variance 0.0025 + ‖∇f‖², 150 steps",
)
def adagrad_norm_works_over_four_decades_of_rates(method: Any, seed: int) -> float:
    """With noise of affine variance AdaGrad-Norm converges at every rate, tuned to nothing.

    The largest ratio, over five rates, of the mean ‖∇f‖² of the last 50 of 150 steps to the first; a tenth is taken for
    convergence at this scale.
    """
    worst = 0.0
    for rate in DECADES:
        seen = _squares(method, seed, 150, rate, 0.05, 1.0)
        ratio = float(seen[100:].mean() / seen[0])
        worst = max(worst, ratio if math.isfinite(ratio) else math.inf)
    return worst


def _power(method: Any, seed: int, still: float) -> float:
    seen = _squares(method, seed, 800, 1.0, still, 1.0)
    return math.log(float(seen.mean() / seen[:100].mean())) / math.log(8.0)


@claim(
    "scale_by_adagrad_norm",
    ADAGRAD_NORM,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.1,
    wrong=scaled("SGD", 3.0),
    subject=adagrad_norm,
    seeds=4,
    scale="a quadratic in 16 dimensions, the rate 1, noise of variance ‖∇f‖², 100 and 800 steps",
)
def adagrad_norm_is_fast_where_noise_vanishes_with_the_gradient(method: Any, seed: int) -> float:
    """Where the noise's variance is in proportion to ‖∇f‖², without a constant, AdaGrad-Norm's mean ‖∇f‖² falls as 1/T,
    untold.

    The power of T, from 100 to 800 steps.
    """
    return _power(method, seed, 0.0)


@claim(
    "scale_by_adagrad_norm",
    ADAGRAD_NORM,
    kind="empirical",
    predicts=at_most(-0.5),
    tolerance=0.1,
    wrong=scaled("SGD", 1.0),
    subject=adagrad_norm,
    seeds=4,
    scale="a quadratic in 16 dimensions, the rate 1, noise of variance 1 + ‖∇f‖², 100 and 800 steps",
)
def adagrad_norm_has_the_optimal_rate_under_affine_variance(method: Any, seed: int) -> float:
    """With noise of affine variance AdaGrad-Norm's mean ‖∇f‖² falls as 1/√T, up to logarithms, with neither of the
    variance's constants known.

    The power of T, from 100 to 800 steps.
    """
    return _power(method, seed, 1.0)
