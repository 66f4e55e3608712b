"""Stochastic gradients: bounds for the last point, rates, signs, momentum; many runs one in a row of a tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms.decay import descend
from ..claim import at_most, between, claim
from ..methods import of_chain
from .rows import wander
from .wrong import scaled, told

LAST = "Revisiting the Last-Iterate Convergence of Stochastic Gradient Methods"
RMSPROP = (
    "Convergence Guarantees for RMSProp and Adam in Generalized-smooth Non-convex Optimization with Affine "
    "Noise Variance"
)
LINEAR_SA = "Tight High Probability Bounds for Linear Stochastic Approximation with Fixed Stepsize"

Slope = Callable[[int, Tensor], Tensor]


def run(
    method: Any, start: Tensor, slope: Slope, steps: int, decay: Callable[[int], float] = lambda t: 1.0,
    **hyper: Any,
) -> Tensor:  # fmt: skip
    """The points of a run on given gradients, before every step and after the last; ``decay``: a factor on the rate."""
    times, lr = itertools.count(), hyper.pop("lr")
    rates = {"lr": lambda t: lr * decay(t)}
    return torch.stack(list(wander(method, lambda x: slope(next(times), x), start, steps, **hyper, **rates)))


def draws(seed: int) -> Callable[..., Tensor]:
    """Standard normal numbers, one after another."""
    random = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=random, dtype=torch.float64)


def _last(method: Any, seed: int, decay: Callable[[int], float], steps: int = 300) -> tuple[float, float]:
    """The mean gap of ‖x‖₁ in 10 dimensions at the last point of 64 runs of the rate D/G√T, and DG/√T; the gradient
    has noise of N(0, I), so that E‖g‖² ≤ G² = 20."""
    normal, g = draws(seed), math.sqrt(20.0)
    start = normal(10)
    far = float(start.norm())
    points = run(
        method, start.repeat(64, 1), lambda _, x: x.sign() + normal(64, 10), steps, decay,
        lr=far / (g * math.sqrt(steps)),
    )  # fmt: skip
    return float(points[-1].abs().sum(1).mean()), far * g / math.sqrt(steps)


@claim(
    "SGD",
    LAST,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-3),
    in_mean=True,
    seeds=4,
)
def the_last_point_of_noisy_subgradients_loses_a_logarithm(method: Any, seed: int) -> float:
    """At a constant rate η the last point of SGD has E f(x_T) - inf f ≤ D²/2ηT + ηG²(1 + ln T)/2 up to constants, on
    convex functions with subgradients E‖g‖² ≤ G², without a bounded domain or bounded noise.

    The mean gap over D²/2ηT + ηG²(1 + H_{T-1})/2, H the harmonic number (the constant that the usual proof gives), with
    η = D/G√T, T = 300: ‖x‖₁ in 10 dimensions, Gaussian noise, 64 runs.
    """
    gap, unit = _last(method, seed, lambda t: 1.0)
    return gap / (unit * (1 + sum(1 / k for k in range(1, 300)) / 2))


@claim(
    "SGD",
    LAST,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-3),
    in_mean=True,
    seeds=4,
)
def linear_decay_frees_the_last_noisy_point_of_the_logarithm(method: Any, seed: int) -> float:
    """With rates that fall linearly to 0 the last point of SGD reaches the optimal O(DG/√T) in expectation, noise
    unbounded.

    The mean gap over DG/√T with γ_t = D/(G√T) (1 - t/T), t = 1 … T = 300: ‖x‖₁ in 10 dimensions, Gaussian noise,
    64 runs.
    """
    gap, unit = _last(method, seed, lambda t: 1 - (t + 1) / 300)
    return gap / unit


def _halving(method: Any, seed: int, hyper: Callable[[int], dict[str, Any]]) -> float:
    """Mean ‖∇f‖ over T = 1024 steps over that of T = 64, 16 runs with rates ∝ 1/√T; f = Σ cosh(xᵢ) + 2 cos(xᵢ) in 5
    dimensions, noise of variance 1 + (∂f)²."""

    def norms(steps: int) -> float:
        normal = draws(seed)

        def exact(x: Tensor) -> Tensor:
            return x.sinh() - 2 * x.sin()

        def slope(_: int, x: Tensor) -> Tensor:
            g = exact(x)
            return g + (1 + g.square()).sqrt() * normal(16, 5)

        points = run(method, normal(16, 5), slope, steps, **hyper(steps))
        return float(exact(points[:-1]).norm(dim=2).mean())

    return norms(1024) / norms(64)


@claim(
    "RMSProp",
    RMSPROP,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.05,
    wrong=told("RMSProp", lr=0.3, alpha=0.9),
    seeds=4,
    scale="Σ cosh x + 2 cos x in 5 dimensions, 64 and 1,024 steps, 16 runs",
)
def rmsprops_gradients_fall_as_the_fourth_root_of_steps(method: Any, seed: int) -> float:
    """With η ∝ 1/√T and β₂ = 1 - 1/T RMSProp needs O(ε⁻⁴) steps to a gradient of norm ε, where curvature grows with
    the gradient and the noise's variance is affine in its square: the mean norm falls as T^-¼.

    The mean norm over 1,024 steps over that of 64, which T^-¼ makes ½; f is not convex and (L₀, L₁)-smooth.
    """
    return _halving(method, seed, lambda t: {"lr": 1.0 / math.sqrt(t), "alpha": 1 - 1 / t})


@claim(
    "Adam",
    RMSPROP,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.05,
    wrong=told("Adam", lr=0.3, betas=(0.9, 0.9)),
    seeds=4,
    scale="Σ cosh x + 2 cos x in 5 dimensions, 64 and 1,024 steps, 16 runs",
)
def adams_gradients_fall_as_the_fourth_root_of_steps(method: Any, seed: int) -> float:
    """With η ∝ 1/√T and β₂ = 1 - 1/T Adam needs O(ε⁻⁴) steps to a gradient of norm ε, where curvature grows with the
    gradient and the noise's variance is affine in its square: the mean norm falls as T^-¼.

    The mean norm over 1,024 steps over that of 64, which T^-¼ makes ½; f is not convex and (L₀, L₁)-smooth; β₁ = 0.9.
    """
    return _halving(method, seed, lambda t: {"lr": 2.0 / math.sqrt(t), "betas": (0.9, 1 - 1 / t)})


@claim(
    "SGD",
    LINEAR_SA,
    kind="theorem",
    predicts=between(1.9, 2.1),
    tolerance=0.0,
    wrong=of_chain(lambda lr: chain(descend(0.02))),
    seeds=2,
)
def halving_the_rate_doubles_the_moments_that_exist(method: Any, seed: int) -> float:
    """Linear stochastic approximation at a constant rate α has moments up to an order in proportion to 1/α and none
    above: its tails are polynomial.

    The order beyond which E|θ_n|^p grows over 12 steps, for α over that for 2α, α = 0.01: θ ← θ - α a θ with a of 3 or
    -1 as likely, all 4,096 paths side by side, so that expectations are exact.
    """
    paths = torch.tensor([[3.0 if k >> t & 1 else -1.0 for t in range(12)] for k in range(4096)]).double().T
    start = (1.5 + draws(seed)(1).abs()).expand(4096)

    def order(rate: float) -> float:
        ends = run(method, start, lambda t, x: paths[t] * x, 12, lr=rate)[-1]
        growth = (ends / start).abs().log()
        low, high = 1.0, 400.0
        while high - low > 1e-3:
            middle = (low + high) / 2
            low, high = (middle, high) if float((middle * growth).exp().mean()) < 1 else (low, middle)
        return low

    return order(0.01) / order(0.02)
