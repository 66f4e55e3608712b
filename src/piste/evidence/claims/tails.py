"""Heavy tails, last points, and rates that noise allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, between, claim
from .wrong import scaled

MEDIAN = "SGD with Clipping is Secretly Estimating the Median Gradient"
LINEAR = "Tight High Probability Bounds for Linear Stochastic Approximation with Fixed Stepsize"
LAST = "Revisiting the Last-Iterate Convergence of Stochastic Gradient Methods"
AFFINE = (
    "Convergence Guarantees for RMSProp and Adam in Generalized-smooth Non-convex Optimization with Affine Noise "
    "Variance"
)
SHUFFLING = "Tighter Lower Bounds for Shuffling SGD: Random Permutations and Beyond"
ITERATE = "Iterate to Accelerate: A Unified Framework for Iterative Reasoning and Feedback Convergence"


def slope(x: list[float], y: list[float]) -> float:
    """Of the line through (log x, log y)."""
    a, b = (torch.tensor(v, dtype=torch.float64).log() for v in (x, y))
    return float(((a - a.mean()) * (b - b.mean())).sum() / (a - a.mean()).square().sum())


def median(samples: Tensor) -> Tensor:
    """Of each coordinate, over the second axis."""
    return samples.median(1).values


def average(samples: Tensor) -> Tensor:
    return samples.mean(1)


@claim(
    "median gradient",
    MEDIAN,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=average,
    subject=median,
    seeds=4,
    scale="½ ‖x‖² of 10 numbers, 15 samples a step, noise 2 ‖x‖ times Cauchy's law, 100 steps",
)
def median_gradients_survive_tails_that_grow_with_the_state(
    method: Callable[[Tensor], Tensor], seed: int
) -> float:
    """Steps along the median of sampled gradients converge where noise is heavy-tailed and grows with the state, where
    means, whose variance is infinite, do not.

    The decimal logarithm of the median distance of 40 runs from the minimum at the end, over that at the start, rate
    0.2.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 10, generator=random, dtype=torch.float64)
    first = x.norm(dim=1).median()
    for _ in range(100):
        a, b = torch.randn(2, 40, 15, 10, generator=random, dtype=torch.float64)
        x = x - 0.2 * (x + method(2 * x.norm(dim=1)[:, None, None] * a / b))
    return float((x.norm(dim=1).median() / first).log10())


def with_random_factors(step: float, chains: int, steps: int, random: torch.Generator) -> Tensor:
    """Where chains θ ← θ - α(Aθ - b), A ~ N(1, 1), b ~ N(0, 1), end."""
    theta = torch.zeros(chains, dtype=torch.float64)
    for _ in range(steps):
        a, b = torch.randn(2, chains, generator=random, dtype=torch.float64)
        theta = theta - step * ((1 + a) * theta - b)
    return theta


def with_constant_factors(step: float, chains: int, steps: int, random: torch.Generator) -> Tensor:
    """The same with A = 1: Gaussian in the end."""
    theta = torch.zeros(chains, dtype=torch.float64)
    for _ in range(steps):
        theta = theta - step * (theta - torch.randn(chains, generator=random, dtype=torch.float64))
    return theta


def tail_order(step: float) -> float:
    """The p > 0 with E |1 - αA|^p = 1, A ~ N(1, 1), by quadrature and bisection."""
    z = torch.linspace(-9, 9, 20001, dtype=torch.float64)
    weight, factor = torch.exp(-z.square() / 2), (1 - step * (1 + z)).abs().clamp(min=1e-300)
    weight = weight / weight.sum()
    low, high = 0.1, 60.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if float((weight * factor**middle).sum()) < 1 else (low, middle)
    return low


@claim(
    "linear stochastic approximation",
    LINEAR,
    kind="empirical",
    predicts=between(0.8, 1.25),
    tolerance=0.0,
    wrong=with_constant_factors,
    subject=with_random_factors,
    seeds=6,
    scale="100,000 chains of one number, 60 steps, α = 0.8",
)
def tails_of_linear_recursions_are_powers_whose_order_the_step_sets(method: Any, seed: int) -> float:
    """With a fixed step α, θ ← θ - α(Aθ - b) has moments up to an order that α sets and none beyond, so no exponential
    concentration: P(|θ| > x) falls like x^(-p) with E |1 - αA|^p = 1.

    Hill's estimate of the order from the largest 500 of all chains over that p, which is 2.0 for α = 0.66 and falls as
    α grows.
    """
    end = method(0.8, 100_000, 60, torch.Generator().manual_seed(seed)).abs().sort(descending=True).values
    hill = 1 / float((end[:500] / end[500]).log().mean())
    return hill / tail_order(0.8)


@claim("SGD", LAST, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1e-3), seeds=3)
def the_last_point_of_stochastic_subgradients(method: Any, seed: int) -> float:
    """On convex functions with E ‖g‖² ≤ G² the last point, not only an average, has E f(x_T) - inf f ≤ D²/2ηT +
    ηG²/2 (1 + H_{T-1}) with a constant rate η, H the harmonic sum: no logarithm but H is lost.

    The ratio of both sides for T = 10, 20, …, 400, η = D/G√T of the last, the largest; ‖x - x*‖₁ in 10 dimensions with
    subgradients that carry N(0, I), mean over 200 runs.
    """
    random = torch.Generator().manual_seed(seed)
    runs, size, steps = 200, 10, 400
    target = torch.randn(size, generator=random, dtype=torch.float64)
    far, bound = float(target.norm()), math.sqrt(2 * size)
    rate = far / (bound * math.sqrt(steps))
    x = torch.nn.Parameter(torch.zeros(runs, size, dtype=torch.float64))
    opt, worst, harmonic = method([x], lr=rate), 0.0, 0.0
    for t in range(1, steps + 1):  # x is the t-th point
        if t % 10 == 0:
            gap = float((x.detach() - target).abs().sum(1).mean())
            worst = max(worst, gap / (far**2 / (2 * rate * t) + rate * bound**2 / 2 * (1 + harmonic)))
        harmonic += 1 / t
        noise = torch.randn(runs, size, generator=random, dtype=torch.float64)
        x.grad = (x.detach() - target).sign() + noise
        opt.step()
    return worst


def _stationarity(method: Any, seed: int, steps: int, **hyper: Any) -> float:
    """The mean of ‖∇f(x_t)‖ on f = Σ (cosh xᵢ - 1), whose curvature grows with its gradient, under noise of the
    deviation 0.5 + 0.5 |∂ᵢf|: 16 runs of 5 numbers."""
    random = torch.Generator().manual_seed(seed)
    x = torch.nn.Parameter(2 * torch.randn(16, 5, generator=random, dtype=torch.float64))
    opt, seen = method([x], **hyper), 0.0
    for _ in range(steps):
        g = x.detach().sinh()
        seen += float(g.norm(dim=1).mean())
        x.grad = g + 0.5 * (1 + g.abs()) * torch.randn(16, 5, generator=random, dtype=torch.float64)
        opt.step()
    return seen / steps


LENGTHS = [100, 200, 400, 800]


@claim(
    "Adam",
    AFFINE,
    kind="empirical",
    predicts=at_most(-0.25),
    tolerance=0.0,
    wrong=scaled("Adam", 1e-4),
    seeds=3,
    scale="Σ cosh of 5 numbers, 100 to 800 steps, η = T^(-½), 1 - β₂ = 1/T, β₁ = 0.9",
)
def adam_reaches_stationarity_at_the_optimal_rate(method: Any, seed: int) -> float:
    """Under generalized smoothness and affine noise, tuned to the length T of the run, Adam has a mean ‖∇f‖ of
    O(T^(-¼)).

    The slope of log mean ‖∇f(x_t)‖ in log T.
    """
    return slope(
        [float(t) for t in LENGTHS],
        [_stationarity(method, seed, t, lr=t**-0.5, betas=(0.9, 1 - 1 / t)) for t in LENGTHS],
    )


@claim(
    "RMSProp",
    AFFINE,
    kind="empirical",
    predicts=at_most(-0.25),
    tolerance=0.0,
    wrong=scaled("RMSProp", 1e-4),
    seeds=6,
    scale="Σ cosh of 5 numbers, 100 to 800 steps, η = T^(-½), 1 - α = 1/T",
)
def rmsprop_reaches_stationarity_at_the_optimal_rate(method: Any, seed: int) -> float:
    """Under generalized smoothness and affine noise, tuned to the length T of the run, RMSProp has a mean ‖∇f‖ of
    O(T^(-¼)).

    The slope of log mean ‖∇f(x_t)‖ in log T.
    """
    return slope(
        [float(t) for t in LENGTHS],
        [_stationarity(method, seed, t, lr=t**-0.5, alpha=1 - 1 / t) for t in LENGTHS],
    )


def reshuffled(count: int, epochs: int, runs: int, random: torch.Generator) -> Tensor:
    """Indices [epochs · count, runs], every epoch in a new order."""
    orders = torch.rand(epochs, count, runs, generator=random).argsort(1)
    return orders.reshape(epochs * count, runs)


def with_replacement(count: int, epochs: int, runs: int, random: torch.Generator) -> Tensor:
    return torch.randint(count, (epochs * count, runs), generator=random)


@claim(
    "random reshuffling",
    SHUFFLING,
    kind="empirical",
    predicts=between(-2.4, -1.6),
    tolerance=0.0,
    wrong=with_replacement,
    subject=reshuffled,
    seeds=4,
    scale="8 quadratics of one number, 64 to 512 epochs, 200 runs",
)
def reshuffling_gains_the_square_of_epochs_and_no_more(method: Any, seed: int) -> float:
    """In K epochs over n strongly convex functions reshuffling brings f - inf f down to the order 1/nK², no faster
    and no slower, where drawing with replacement has 1/nK.

    The slope of log mean gap in log K, f_i = ½ hᵢx² + sᵢx, (hᵢ, sᵢ) = (0.5, 1) or (1.5, -1), rate 2 log(nK) / nK.
    """
    n, runs, gaps, lengths = 8, 200, [], [64, 128, 256, 512]
    random = torch.Generator().manual_seed(seed)
    h = torch.where(torch.arange(n) % 2 == 0, 0.5, 1.5).double()
    s = torch.where(h < 1, 1.0, -1.0).double()
    for epochs in lengths:
        rate = 2 * math.log(n * epochs) / (n * epochs)
        x = torch.zeros(runs, dtype=torch.float64)
        for i in method(n, epochs, runs, random):
            x = x - rate * (h[i] * x + s[i])
        gaps.append(float(0.5 * x.square().mean()))
    return slope([float(k) for k in lengths], gaps)


def accelerated(contract: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> list[Tensor]:
    """s ← (1 - α_t) s + α_t T(s), α_t = 2 / (t + 2)."""
    points = [start]
    for t in range(steps):
        share = 2 / (t + 2)
        points.append((1 - share) * points[-1] + share * contract(points[-1]))
    return points


def halved(contract: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> list[Tensor]:
    """The same with α_t = 2 / (t + 2)²."""
    points = [start]
    for t in range(steps):
        share = 2 / (t + 2) ** 2
        points.append((1 - share) * points[-1] + share * contract(points[-1]))
    return points


@claim(
    "averaged fixed-point iteration",
    ITERATE,
    kind="theorem",
    predicts=at_most(-2.0),
    tolerance=0.1,
    wrong=halved,
    subject=accelerated,
    seeds=2,
    scale="a linear contraction of 8 numbers by 0.9, t = 100 to 1,000",
)
def averaged_feedback_converges_like_one_over_t_squared(method: Any, seed: int) -> float:
    """For any contraction T the averaged update with α_t = 2/(t + 2) has D(s_t, s*) = O(1/t²).

    The slope of log ½‖s_t - s*‖² in log t. For T = cI the product of 1 - α_t(1 - c) falls like t^(-2(1 - c)), so D like
    t^(-4(1 - c)): the rate asks for c ≤ ½.
    """
    random = torch.Generator().manual_seed(seed)
    start, target = torch.randn(2, 8, generator=random, dtype=torch.float64)
    points = method(lambda s: target + 0.9 * (s - target), start, 1000)
    times = [100, 200, 400, 800]
    return slope([float(t) for t in times], [0.5 * float((points[t] - target).square().sum()) for t in times])
