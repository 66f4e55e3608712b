"""Momentum and noise: what acceleration gains and what it costs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, claim
from ..tuning import tuned
from .stochastic import Slope, draws, run
from .wrong import scaled

RISK = "Risk Bounds of Accelerated SGD for Overparameterized Linear Regression"
ANISOTROPIC = "Accelerated Convergence of Stochastic Heavy Ball Method under Anisotropic Gradient Noise"
INTERPOLATION = "Faster Convergence of Stochastic Accelerated Gradient Descent under Interpolation"


def _regression(
    method: Any, seed: int, start: float, noise: float, steps: int = 150, **hyper: Any
) -> tuple[Tensor, Tensor]:
    """Mean squared errors of least squares by eigendirection after SGD, one Gaussian row a step, 256 runs; the
    spectrum 1/i², i = 1 … 10, and labels with ``noise``. With them the spectrum."""
    normal = draws(seed)
    spectrum = 1 / torch.arange(1, 11, dtype=torch.float64).square()

    def slope(_: int, w: Tensor) -> Tensor:
        row = spectrum.sqrt() * normal(256, 10)
        return row * ((row * w).sum(1) + noise * normal(256)).unsqueeze(1)

    end = run(method, torch.full((256, 10), start, dtype=torch.float64), slope, steps, **hyper)[-1]
    return end.square().mean(0), spectrum


def nesterov(params: Any, lr: float) -> Any:
    return get("SGD", "optimizer").target(params, lr=lr, momentum=0.9, nesterov=True)


def _sgd() -> Any:
    return get("SGD", "optimizer").target


@claim(
    "SGD with Nesterov's momentum",
    RISK,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=nesterov,
    seeds=4,
    scale="least squares of 10 numbers, eigenvalues 1/i², 150 rows, 256 runs, the rate 0.05",
)
def acceleration_forgets_the_start_faster_where_eigenvalues_are_small(method: Any, seed: int) -> float:
    """The bias of accelerated SGD decays faster than that of SGD in the directions of small eigenvalues.

    Mean squared errors over the last 7 of 10 directions without noise in the labels, relative to SGD of the same rate.
    """
    fast, slow = (_regression(m, seed, 1.0, 0.0, lr=0.05)[0][3:].mean() for m in (method, _sgd()))
    return float(fast / slow)


@claim(
    "SGD with Nesterov's momentum",
    RISK,
    kind="empirical",
    predicts=at_least(0.0),
    tolerance=0.0,
    wrong=scaled("SGD", 0.5),
    subject=nesterov,
    seeds=4,
    scale="least squares of 10 numbers, eigenvalues 1/i², 40 rows, 256 runs, the rate 0.2",
)
def acceleration_forgets_the_start_slower_where_eigenvalues_are_large(method: Any, seed: int) -> float:
    """The bias of accelerated SGD decays slower than that of SGD in the directions of large eigenvalues.

    log₁₀ of the squared errors of the first direction, without noise in the labels, relative to SGD of the same rate.
    """
    fast, slow = (_regression(m, seed, 1.0, 0.0, 40, lr=0.2)[0][0] for m in (method, _sgd()))
    return float((fast / slow).log10())


@claim(
    "SGD with Nesterov's momentum",
    RISK,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 0.5),
    subject=nesterov,
    seeds=4,
    scale="least squares of 10 numbers, eigenvalues 1/i², 150 rows, 256 runs, the rate 0.05",
)
def acceleration_has_the_larger_variance(method: Any, seed: int) -> float:
    """The variance of accelerated SGD is always larger than that of SGD.

    The excess risk of runs that start at the truth and see labels with noise, relative to SGD of the same rate.
    """
    risks = [float((error * spectrum).sum()) for error, spectrum in
             (_regression(m, seed, 0.0, 1.0, lr=0.05) for m in (method, _sgd()))]  # fmt: skip
    return risks[0] / risks[1]


def heavy(params: Any, lr: float) -> Any:
    return get("SGD", "optimizer").target(params, lr=lr, momentum=0.9)


@claim(
    "SGD with heavy-ball momentum",
    ANISOTROPIC,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=heavy,
    seeds=3,
    scale="a quadratic of eigenvalues 1 to 1/100, noise 0.01 √H N(0, I), 200 steps, 16 runs",
)
def heavy_ball_with_step_decay_forgets_the_start_faster(method: Any, seed: int) -> float:
    """On quadratics whose noise has a covariance in proportion to H, stochastic heavy ball with step decay needs only
    √κ steps, up to logarithms, to forget its start, and its variance stays of SGD's order.

    The final loss with the rate divided by 4 in each of three stages, relative to SGD with the same decay, the rates of
    both tuned; κ = 100, momentum 0.9.
    """
    curve = 100.0 ** -torch.linspace(0, 1, 8, dtype=torch.float64)

    def loss(used: Any, lr: float) -> float:
        normal = draws(seed)
        slope: Slope = lambda _, x: curve * x + 0.01 * curve.sqrt() * normal(16, 8)  # noqa: E731
        start = torch.ones(16, 8, dtype=torch.float64)
        end = run(used, start, slope, 200, lambda t: 0.25 ** (3 * t // 200), lr=lr)[-1]
        return float((0.5 * curve * end.square()).sum(1).mean())

    rates = (0.125, 0.5, 2.0)
    return tuned(lambda lr: loss(method, lr), rates).score / tuned(lambda lr: loss(_sgd(), lr), rates).score


def accelerated(params: Any, lr: float, momentum: float) -> Any:
    return get("SGD", "optimizer").target(params, lr=lr, momentum=momentum, nesterov=True)


def _steps(method: Any, seed: int, growth: float, most: int) -> float:
    """Steps to a millionth of the loss, in the mean over 64 runs, with η = 1/ρL and the momentum of √(ημ): a quadratic
    of κ = 100 whose gradient comes ρ times as large once in ρ steps, and else as 0."""
    curve = 100.0 ** -torch.linspace(0, 1, 6, dtype=torch.float64)
    random, root = torch.Generator().manual_seed(seed), (0.01 / growth) ** 0.5

    def slope(_: int, x: Tensor) -> Tensor:
        shown = torch.rand(64, 1, generator=random, dtype=torch.float64) < 1 / growth
        return growth * shown * curve * x

    points = run(method, draws(seed)(64, 6), slope, most, lr=1 / growth, momentum=(1 - root) / (1 + root))
    losses = (curve * points.square()).sum(2).mean(1)
    below = (losses < 1e-6 * losses[0]).nonzero()
    return float(below[0, 0]) if len(below) else float(most)


def plain(params: Any, lr: float, momentum: float) -> Any:
    return get("SGD", "optimizer").target(params, lr=lr)


@claim(
    "SGD with Nesterov's momentum",
    INTERPOLATION,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.05,
    wrong=plain,
    subject=accelerated,
    seeds=4,
    scale="a quadratic of eigenvalues 1 to 1/100, gradients that come ρ times as large once in ρ steps, ρ = 1 and 8",
)
def accelerated_sgd_pays_the_root_of_the_growth_constant(method: Any, seed: int) -> float:
    """Under interpolation and strong growth, E‖g‖² ≤ ρ‖∇f‖², the steps that accelerated SGD needs grow with √ρ (ρ in
    earlier work), with the rate η = 1/ρL and the momentum of √(ημ). (In many dimensions no method that moves along
    the gradients it has seen can do so on the noise used here: it shows one in ρ steps, and √κ are needed.)

    ln of the ratio of the steps to a millionth of the loss, in the mean over 64 runs, for ρ = 8 and ρ = 1, over ln 8;
    1,500 steps count where more are needed. At ρ = 4 the power is about 0.8; at ρ = 8 the mean loss diverges.
    """
    return math.log(_steps(method, seed, 8.0, 1500) / _steps(method, seed, 1.0, 500)) / math.log(8.0)


@claim(
    "SGD with Nesterov's momentum",
    INTERPOLATION,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=plain,
    subject=accelerated,
    seeds=4,
    scale="a quadratic of eigenvalues 1 to 1/100, gradients that come 1.25 times as large in 4 steps of 5",
)
def acceleration_pays_where_noise_vanishes_at_the_minimum(method: Any, seed: int) -> float:
    """Under interpolation and a small growth constant ρ accelerated SGD needs √(ρκ) steps where SGD needs ρκ.

    The steps to a millionth of the loss, relative to SGD of the same rate 1/ρL, ρ = 1.25 and κ = 100.
    """
    return _steps(method, seed, 1.25, 1000) / _steps(plain, seed, 1.25, 1000)
