"""Clipped methods under noise with infinite variance: what happens in the worst of many runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..._transform import chain
from ...transforms.clipping import clip_by_value
from ...transforms.decay import descend
from ...transforms.heavy_tails import scale_by_delayed_adagrad, similar_triangles
from ..claim import at_most, claim, equal
from ..methods import of_chain
from ..problems import worst_smooth
from ..tuning import tuned
from .noise import student
from .stochastic import run
from .wrong import instead, scaled, told

RADAGRADD = "Gradient Clipping Improves AdaGrad when the Noise Is Heavy-Tailed"
BOUNDS = (
    "High-Probability Bounds for Stochastic Optimization and Variational Inequalities: the Case of Unbounded "
    "Variance"
)


@claim(
    "ClipRAdaGradD",
    RADAGRADD,
    kind="theorem",
    predicts=at_most(0.1),
    tolerance=0.0,
    wrong=instead("Adagrad"),
    seeds=2,
)
def confidence_costs_clipped_adagrad_no_power_of_its_inverse(method: Any, seed: int) -> float:
    """The steps that AdaGrad needs to come close with probability 1 - δ grow as a power of 1/δ where noise has heavy
    tails; clipped, reweighted and delayed, as a power of its logarithm.

    The power of 1/δ by which they grow between δ = 1e-2 and 1e-6, to come within 0.1 of the minimum of x²/2 from 1: the
    noise of variance 1 is ±1/√δ with probability δ, and hits the first step.
    """
    counts = [_steps_after(method, seed, 1 / math.sqrt(odds)) for odds in (1e-2, 1e-6)]
    return math.log(counts[1] / counts[0]) / math.log(1e4)


def _steps_after(method: Any, seed: int, shock: float) -> int:
    x = torch.nn.Parameter(torch.ones(1, dtype=torch.float64) + 0.01 * seed)
    opt = method([x], lr=0.5, max_norm=1.0, eta=0.25, initial_accumulator_value=1.0)
    for t in range(20_000):
        x.grad = x.detach() - (shock if t == 0 else 0.0)
        opt.step()
        if float(x.detach().abs()) <= 0.1:
            return t + 1
    return 20_000


@claim(
    "ClipRAdaGradD",
    RADAGRADD,
    kind="identity",
    predicts=equal(2.0),
    tolerance=1e-9,
    wrong=instead("Adagrad"),
    seeds=3,
)
def a_delayed_rate_is_linear_in_todays_gradient(method: Any, seed: int) -> float:
    """With the delay the rate depends on past gradients only: below the threshold a gradient that is twice as long
    makes a step that is twice as long, so that steps are unbiased as SGD's are.

    The ratio of the lengths of the eighth step for 2g and for g, after seven Gaussian gradients.
    """
    lengths = []
    for times in (1.0, 2.0):
        random = torch.Generator().manual_seed(seed)
        x = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
        opt = method([x], lr=0.1, max_norm=100.0, eta=1.0, initial_accumulator_value=1.0)
        for t in range(8):
            g = torch.randn(4, generator=random, dtype=torch.float64)
            x.grad, before = g * (times if t == 7 else 1.0), x.detach().clone()
            opt.step()
        lengths.append(float((x.detach() - before).norm()))
    return lengths[1] / lengths[0]


def thick(seed: int, size: int) -> Callable[[], Tensor]:
    """The authors' noise, of density ¾ (1 + |x|)^(-5/2): moments of orders below 1.5 exist."""
    random = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        far = torch.rand(size, generator=random, dtype=torch.float64) ** (-1 / 1.5) - 1
        return far * (2.0 * torch.randint(2, (size,), generator=random) - 1)

    return draw


def _apart(most: float) -> Any:
    """Clip-RAdaGradD in one dimension, every coordinate a run of its own; their η = lr² and b₀ = 1."""
    return of_chain(
        lambda lr: chain(clip_by_value(most), scale_by_delayed_adagrad(lr**2, 0.0, 1.0), descend(lr))
    )


@claim(
    "ClipRAdaGradD",
    RADAGRADD,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=scaled("Adagrad", 1.0),
    subject=_apart(0.5),
    seeds=3,
    scale="x²/2 from 2, noise of density ¾ (1 + |x|)^(-5/2), 200 steps, 4,096 runs, threshold ½",
)
def the_worst_of_many_clipped_runs_is_better_than_adagrads(method: Any, seed: int) -> float:
    """Clipping, with reweighting and delay, makes AdaGrad's failures under heavy-tailed noise rare.

    The 99.9 % quantile of f after the last step, relative to AdaGrad's, the rates of both tuned for it.
    """

    def worst(used: Any, lr: float) -> float:
        draw = thick(seed, 4096)
        start = torch.full((4096,), 2.0, dtype=torch.float64)
        end = run(used, start, lambda _, x: x + draw(), 200, lr=lr)[-1]
        return float(torch.quantile(end.square() / 2, 0.999))

    plain, rates = get("Adagrad", "optimizer").target, (0.0625, 0.25, 1.0)
    return tuned(lambda lr: worst(method, lr), rates).score / tuned(lambda lr: worst(plain, lr), rates).score


@claim(
    "ClippedSGD",
    BOUNDS,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=of_chain(lambda lr: chain(clip_by_value(1.0), descend(lr))),
    seeds=4,
    scale="x²/2 from 1, Student's noise of 1.5 degrees of freedom, 200 steps of the rate 0.05, 16,384 runs",
)
def the_error_of_clipped_sgd_grows_with_the_logarithm_of_the_confidence(method: Any, seed: int) -> float:
    """Where noise has moments of an order α < 2 only, the error of clipped SGD that holds with probability 1 - δ grows
    as a power of log 1/δ; SGD's as a power of 1/δ.

    The power of 1/δ by which the quantile of f after the last step grows from δ = 0.1 to 0.001 (a normal law: 0.3).
    Every coordinate is a run of its own.
    """
    noise, start = student(seed, 1.5), torch.ones(16_384, dtype=torch.float64)
    end = run(method, start, lambda _, x: x + noise(len(x)), 200, lr=0.05)[-1]
    low, high = (float(torch.quantile(end.square(), q)) for q in (0.9, 0.999))
    return math.log(high / low) / math.log(100.0)


@claim(
    "ClippedSSTM",
    BOUNDS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("ClippedSSTM", 0.02),
    seeds=1,
)
def similar_triangles_accelerate(method: Any, seed: int) -> float:
    """Without noise clipped-SSTM has the accelerated rate of smooth convex functions: with η = 1/L and thresholds that
    are never met f(y_T) - inf f ≤ R²/2A_T = 2R²/ηT(T+3).

    The largest ratio of the gap to that over 40 steps on Nesterov's worst function, at the view of the weights.
    """
    p = worst_smooth(steps=20)
    x = torch.nn.Parameter(p.start.clone())
    opt, worst = method([x], lr=1.0, max_norm=1e6), 0.0
    far = float((p.start - p.minimizer).square().sum())  # type: ignore[operator]
    for t in range(1, 41):
        x.grad = p.gradient(x)
        opt.step()
        with opt.averaged():
            worst = max(worst, p.gap(x.detach()) * t * (t + 3) / (2 * far))
    return worst


def _triangles(clip: bool) -> Any:
    """clipped-SSTM in one dimension, every coordinate a run of its own."""

    def make(lr: float, most: float) -> Any:
        cut = [clip_by_value(lambda step: 2 * most / (step + 1))] if clip else []
        return chain(*cut, descend(lr), similar_triangles(lr))

    return of_chain(make)


@claim(
    "ClippedSSTM",
    BOUNDS,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=_triangles(clip=False),
    subject=_triangles(clip=True),
    seeds=4,
    scale="x²/2 from 1, Student's noise of 1.2 degrees of freedom, 100 steps of η = 0.01, c = 10, 4,096 runs",
)
def clipping_saves_acceleration_from_heavy_tails(method: Any, seed: int) -> float:
    """clipped-SSTM converges with high probability where the noise's variance is infinite, and not without clipping.

    log₁₀ of the 99 % quantile of f at the weights after the last step, over that of SSTM without clipping.
    """

    def quantile(used: Any) -> float:
        noise, start = student(seed, 1.2), torch.ones(4096, dtype=torch.float64)
        end = run(used, start, lambda _, x: x + noise(4096), 100, lr=0.01, most=10.0)[-1]
        return float(torch.quantile(end.square(), 0.99))

    return math.log10(quantile(method) / quantile(_triangles(clip=False)))


def _game(method: Any, start: Tensor, noise: Callable[[], Tensor], steps: int, **hyper: Any) -> Tensor:
    """min over x, max over y of xᵀy: the players' slopes are y and -x, each evaluation with noise of its own."""
    x, y = (torch.nn.Parameter(part.clone()) for part in start)
    opt = method([x, y], **hyper)

    def closure() -> Tensor:
        drawn = noise()
        x.grad, y.grad = y.detach() + drawn[0], -x.detach() + drawn[1]
        return (x.detach() * y.detach()).sum()

    for _ in range(steps):
        opt.step(closure)
    return torch.stack([x.detach(), y.detach()])


@claim(
    "ClippedSEG",
    BOUNDS,
    kind="identity",
    predicts=equal(1 - 0.09 + 0.0081),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def extragradient_contracts_where_descent_expands(method: Any, seed: int) -> float:
    """Extragradient converges on games that are monotone and no more: on xᵀy a step shrinks ‖w‖² by 1 - γ² + γ⁴, where
    descent and ascent grow it by 1 + γ².

    That ratio over one step in 2 × 4 dimensions, γ = 0.3, below the threshold, without noise.
    """
    start = torch.randn(2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    still = torch.zeros(2, 4, dtype=torch.float64)
    end = _game(method, start, lambda: still, 1, lr=0.3, max_norm=100.0)
    return float(end.square().sum() / start.square().sum())


@claim(
    "ClippedSEG",
    BOUNDS,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=told("ClippedSEG", max_norm=1e9),
    seeds=4,
    cost="full",
    scale="xᵀy in 2 × 5 dimensions, Student's noise of 1.2 degrees of freedom, 60 steps of the rate 0.1, 30 runs",
)
def clipping_saves_extragradient_from_heavy_tails(method: Any, seed: int) -> float:
    """clipped-SEG stays close to the equilibrium with high probability where the noise's variance is infinite;
    extragradient without clipping does not.

    log₁₀ of the 90 % quantile of ‖w‖² after the last step, over that without clipping; the threshold is 2.
    """

    def quantile(used: Any) -> float:
        noise, start = student(seed, 1.2), torch.ones(2, 5, dtype=torch.float64)
        ends = [
            float(_game(used, start, lambda: noise(2, 5), 60, lr=0.1, max_norm=2.0).square().sum())
            for _ in range(30)
        ]
        return float(torch.quantile(torch.tensor(ends), 0.9))

    return math.log10(quantile(method) / quantile(told("ClippedSEG", max_norm=1e9)))
