"""Recursive estimates of the gradient: STORM's and MARS's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..._registry import get
from ...linalg.polar import newton_schulz
from ..claim import at_most, claim, equal
from .identities import farthest, noise, walk
from .matrices import matrix
from .norms import _given
from .wrong import told

MARS = "MARS: Unleashing the Power of Variance Reduction for Training Large Models"
MARS_M = "MARS-M: When Variance Reduction Meets Matrices"


@claim(
    "MARSLion",
    MARS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("MARSLion", gamma=0.0),
    seeds=3,
)
def lion_is_mars_without_the_clipping(method: Any, seed: int) -> float:
    """Lion is a case of MARS: while no corrected gradient is longer than 1, MARS-Lion with β and γ is Lion with the
    betas (β(1-γ), β).

    The largest difference over 60 steps on Gaussian gradients of length 0.01, β = 0.95, γ = 0.3.
    """
    beta, gamma, random = 0.95, 0.3, noise(seed, 5, 4)
    start, hyper = matrix(seed, 5, 4), {"lr": 0.01, "weight_decay": 0.1}

    def small(t: int, w: Any) -> Any:
        return 0.002 * random(t, w)

    ours = walk(method, start, small, 60, beta1=beta, gamma=gamma, **hyper)
    lion = get("Lion", "optimizer").target
    return farthest(ours, walk(lion, start, small, 60, betas=(beta * (1 - gamma), beta), **hyper))


@claim(
    "MARSM",
    MARS_M,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=told("MARSM", gamma=0.0),
    seeds=2,
)
def mars_m_needs_no_buffer_of_gradients_without_the_clipping(method: Any, seed: int) -> float:
    """Without clipping the approximate MARS-M needs one buffer as Muon does: it orthogonalizes (1-a)g + an with the
    average n of gradients before today's, a = μ(1-γ).

    The largest difference of the weights over 40 steps on Gaussian gradients of length 0.01, 6 × 6, μ = 0.95, γ = 0.3.
    """
    mu, gamma, lr, random = 0.95, 0.3, 0.01, noise(seed, 6, 6)
    hyper = {"lr": lr, "momentum": mu, "gamma": gamma, "weight_decay": 0.0}
    ours = walk(_given(method), matrix(seed, 6, 6), lambda t, w: 0.002 * random(t, w), 40, **hyper)
    w, average, a = matrix(seed, 6, 6), torch.zeros(6, 6, dtype=torch.float64), mu * (1 - gamma)
    theirs = [w]
    for t in range(40):
        g = 0.002 * random(t, w)
        w = w - lr * 0.2 * 6**0.5 * newton_schulz((1 - a) * g + a * average, 5)
        average = mu * average + (1 - mu) * g
        theirs.append(w)
    return farthest(ours, theirs)


@claim(
    "ExactMARSAdamW",
    MARS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.1,
    in_mean=True,
    wrong=told("ExactMARSAdamW", gamma=0.0),
    seeds=5,
)
def the_recursive_estimate_does_not_lag_behind(method: Any, seed: int) -> float:
    """With γ = 1 the average of corrected gradients is STORM's estimate: under additive noise of variance σ² its error
    is σ²(1-β)/(1+β) in the mean however fast the weights move, where an average of gradients lags behind as well.

    The mean square of m - ∇f over that bound, over steps 100 to 200 and 500 coordinates of a quadratic down which Adam
    walks at a steady pace; β = 0.9. (Of m the error of its start, 0, has decayed by then.)
    """
    beta, sigma, steep, random = 0.9, 0.0015, 0.005, torch.Generator().manual_seed(seed)
    w = torch.nn.Parameter(torch.full((500,), 4.0, dtype=torch.float64))
    opt = method([w], lr=0.01, betas=(beta, 0.999), gamma=1.0, weight_decay=0.0)
    errors = []
    for t in range(200):
        drawn = sigma * torch.randn(500, generator=random, dtype=torch.float64)
        slope = steep * w.detach().clone()

        def closure(drawn: Any = drawn) -> Any:
            opt.zero_grad()
            loss = 0.5 * steep * w.square().sum() + (drawn * w).sum()
            loss.backward()
            return loss

        opt.step(closure)
        if t >= 100:
            errors.append((opt.state[w]["exp_avg"] - slope).square().mean())
    return float(torch.stack(errors).mean()) / (sigma**2 * (1 - beta) / (1 + beta))


def recursive_steps(steps: int, seed: int) -> float:
    """The mean of ‖∇f‖ over steps of length T^(-2/3) along the recursive estimate with 1 - β = T^(-2/3)."""
    return _mean_slope(steps, steps ** (-2 / 3), steps ** (-2 / 3), seed, corrected=True)


def averaged_steps(steps: int, seed: int) -> float:
    """The same along the average, with the length T^(-3/4) and 1 - β = T^(-1/2) that are best for it."""
    return _mean_slope(steps, steps ** (-3 / 4), steps ** (-1 / 2), seed, corrected=False)


def _mean_slope(steps: int, length: float, share: float, seed: int, corrected: bool) -> float:
    random = torch.Generator().manual_seed(seed)
    curves = torch.logspace(-1, 0, 10, dtype=torch.float64)
    x = torch.ones(10, dtype=torch.float64) / 10**0.5
    m, before, total = torch.zeros_like(x), x, 0.0
    drawn = 0.1 * torch.randn(steps, 10, generator=random, dtype=torch.float64)
    for t in range(steps):
        slope = curves * x
        total += float(slope.norm())
        g, h = slope + drawn[t], curves * before + drawn[t]
        m = (1 - share) * (m - h if corrected and t else m * (not corrected)) + (
            g if corrected else share * g
        )
        before, x = x, x - length * m / m.norm()
    return total / steps


@claim(
    "MARSM",
    MARS_M,
    kind="empirical",
    predicts=at_most(-1 / 3),
    tolerance=0.05,
    wrong=averaged_steps,
    subject=recursive_steps,
    seeds=4,
    scale="normalized steps on a quadratic of 10 numbers, condition 10, Gaussian noise of 0.1; T from 250 to 4,000",
)
def variance_reduction_takes_the_rate_from_a_quarter_to_a_third(
    method: Callable[[int, int], float], seed: int
) -> float:
    """With steps of one size the mean of ‖∇f‖ over T steps falls as T^(-1/3) with the recursive estimate, and as
    T^(-1/4) with momentum.

    The slope of log ‖∇f‖ over log T between 250 and 4,000, each with the lengths and averages that the theory gives it.
    """
    few, many = 250, 4000
    low, high = (sum(method(steps, 10 * seed + i) for i in range(2)) for steps in (few, many))
    return math.log(high / low) / math.log(many / few)
