"""AdaGrad with one rate for all, under noise that grows with the gradient."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._transform import Chain, chain
from ...transforms import scale_by_adagrad_norm
from ...transforms.decay import descend
from ..claim import at_most, claim
from ..methods import of_chain
from .identities import walk
from .wrong import scaled

AFFINE = (
    "SGD with AdaGrad Stepsizes: Full Adaptivity with High Probability to Unknown Parameters, Unbounded Gradients and "
    "Affine Variance"
)
STEPSIZES = "AdaGrad Stepsizes: Sharp Convergence Over Nonconvex Landscapes"


def _chain(lr: float) -> Chain:
    return chain(scale_by_adagrad_norm(initial_accumulator_value=0.01), descend(lr))


adagrad_norm = of_chain(_chain)


def squares(method: Any, seed: int, steps: int, rate: float, constant: float, affine: float) -> list[float]:
    """‖∇f(x_t)‖² along a run on f = ½ Σ hᵢ xᵢ² (20 numbers, h from 1 to 0.05), gradients with Gaussian
    noise of the variance σ₀² + σ₁² ‖∇f‖²."""
    random = torch.Generator().manual_seed(seed)
    h = torch.linspace(1, 0.05, 20, dtype=torch.float64)
    x = torch.nn.Parameter(torch.randn(20, generator=random, dtype=torch.float64))
    opt, seen = method([x], lr=rate), list[float]()
    for _ in range(steps):
        g = h * x.detach()
        size = float(g.square().sum())
        seen.append(size)
        deviation = math.sqrt((constant**2 + affine**2 * size) / 20)
        x.grad = g + deviation * torch.randn(20, generator=random, dtype=torch.float64)
        opt.step()
    return seen


@claim(
    "scale_by_adagrad_norm",
    AFFINE,
    kind="empirical",
    predicts=at_most(-2.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=adagrad_norm,
    seeds=3,
    scale="a quadratic of 20 numbers, condition number 20, noise of the variance 0.01 + 4 ‖∇f‖², 800 steps",
)
def adagrad_norm_adapts_over_four_decades_of_its_rate(method: Any, seed: int) -> float:
    """Knowing neither smoothness nor noise, and with noise that grows with the gradient (affine variance), AdaGrad-Norm
    converges whatever its rate η, losing only a factor that is polynomial in η and 1/η.

    The decimal logarithm of the largest mean of ‖∇f(x_t)‖² over the last tenth of a run with η = 1, 10, …, 10⁴,
    over its value at the start; the distance from the minimum is about 5.
    """
    runs = [squares(method, seed, 800, 10.0**k, 0.1, 2.0) for k in range(5)]
    return math.log10(max(sum(run[-80:]) / 80 / run[0] for run in runs))


@claim(
    "scale_by_adagrad_norm",
    AFFINE,
    kind="empirical",
    predicts=at_most(-0.8),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-6),
    subject=adagrad_norm,
    seeds=4,
    scale="a quadratic of 20 numbers, condition number 20, 125 to 1,000 steps",
)
def adagrad_norm_is_faster_the_less_noise_there_is(method: Any, seed: int) -> float:
    """Without constant noise the rate improves by itself from 1/√T to 1/T (logarithms aside).

    The slope of log mean ‖∇f(x_t)‖² in log T with σ₀ = 0, σ₁ = 1, η = 1.
    """
    lengths = (125, 250, 500, 1000)
    seen = [math.log(sum(squares(method, seed, t, 1.0, 0.0, 1.0)) / t) for t in lengths]
    x = [math.log(t) for t in lengths]
    middle = sum(x) / len(x)
    return sum((a - middle) * b for a, b in zip(x, seen, strict=True)) / sum((a - middle) ** 2 for a in x)


@claim(
    "scale_by_adagrad_norm",
    STEPSIZES,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 1e-4),
    subject=adagrad_norm,
    seeds=3,
)
def adagrad_norm_without_noise_needs_no_constants(method: Any, seed: int) -> float:
    """Without noise the sum of all squared gradients, b_T² - b₀², is bounded whatever η and L are: b_T - b₀ ≤ Δ/η +
    ηL log(b_T/b₀) with Δ = f(x_0) - inf f, so that ‖∇f(x_t)‖² is O(1/T) in the mean.

    The ratio of both sides after 400 steps for η = 0.1, 1, 10, the largest; b₀ = 0.1, L = 1.
    """
    random = torch.Generator().manual_seed(seed)
    h = torch.linspace(1, 0.05, 20, dtype=torch.float64)
    start = torch.randn(20, generator=random, dtype=torch.float64)
    first, gap, worst = 0.1, 0.5 * float((h * start.square()).sum()), 0.0
    for rate in (0.1, 1.0, 10.0):
        points = walk(method, start, lambda _, x: h * x, 400, lr=rate)
        last = math.sqrt(first**2 + sum(float((h * x).square().sum()) for x in points[:-1]))
        worst = max(worst, (last - first) / (gap / rate + rate * math.log(last / first)))
    return worst
