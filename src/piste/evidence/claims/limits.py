"""What no method can beat that moves along the gradients it has seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, claim
from ..problem import Problem
from ..problems import worst_lipschitz, worst_smooth
from .composite import slope_of_worst
from .papers import BUBECK
from .rows import wander

TRIED: tuple[dict[str, Any], ...] = (
    {"lr": 1.0},
    {"lr": 1.9},
    {"lr": 1.0, "momentum": 0.5},
    {"lr": 1.0, "momentum": 0.9},
    {"lr": 1.0, "momentum": 0.9, "nesterov": True},
)


def clairvoyant(share: float) -> Callable[..., Any]:
    """SGD from a point that the minimizer has told: its geometric row of coordinates, or the same for all."""

    def method(params: Any, lr: float, **hyper: Any) -> Any:
        params = list(params)
        with torch.no_grad():
            for p in params:
                p.copy_(share ** torch.arange(1, len(p) + 1) if share < 1 else torch.full_like(p, -share / 4))
        return get("SGD", "optimizer").target(params, lr=0.0 * lr)

    return method


def _lowest(p: Problem, gradient: Callable[[Tensor], Tensor], method: Any, points: int) -> float:
    """The least gap of the 2nd … ``points``-th point, over all ways to move that are tried."""
    assert p.minimum is not None
    seen = [
        p.loss(x) for how in TRIED for x in list(wander(method, gradient, p.start, points - 1, **how))[1:]
    ]
    return float(torch.stack(seen).min()) - p.minimum


@claim("SGD", BUBECK, kind="theorem", predicts=at_least(1.0), tolerance=1e-9, wrong=clairvoyant(0.9), seeds=1)
def no_gradient_method_beats_the_square(method: Any, seed: int) -> float:
    """For every t there is a convex, L-smooth function on which the first t points of any method that moves along
    gradients have f - inf f ≥ 3L ‖x_1 - x*‖² / 32(t+1)².

    The least ratio of both sides for gradient descent at the rates 1/L and 1.9/L, heavy balls and Nesterov's momentum,
    t = 3, 6, 12, 25, 50; the wrong method starts knowing something of x*.
    """
    worst = math.inf
    for t in (3, 6, 12, 25, 50):
        p = worst_smooth(2 * t + 1, t)
        assert p.minimizer is not None
        bound = 3 * float(p.minimizer.square().sum()) / (32 * (t + 1) ** 2)
        worst = min(worst, _lowest(p, slope_of_worst, method, t) / bound)
    return worst


def _first_largest(steepness: float, strength: float, count: int) -> Callable[[Tensor], Tensor]:
    def subgradient(x: Tensor) -> Tensor:
        g = strength * x
        g[int(x[:count].argmax())] += steepness
        return g

    return subgradient


@claim("SGD", BUBECK, kind="theorem", predicts=at_least(1.0), tolerance=1e-9, wrong=clairvoyant(1.0), seeds=1)
def no_subgradient_method_beats_the_root(method: Any, seed: int) -> float:
    """For every t there is a convex function, G-Lipschitz on a ball of radius R around the start, on which the first t
    points of any method that moves along subgradients have f - inf f ≥ RG / 2(1 + √t).

    G√t/(1+√t) max(x_1 … x_t) + G/2R(1+√t) ‖x‖² for t = 4, 16, 64 and R = G = 1, the least ratio for the methods of
    the smooth case.
    """
    worst = math.inf
    for t in (4, 16, 64):
        strength, steepness = 1 / (1 + math.sqrt(t)), math.sqrt(t) / (1 + math.sqrt(t))
        p = worst_lipschitz(t + 3, t, steepness, strength)
        seen = _lowest(p, _first_largest(steepness, strength, t), method, t)
        worst = min(worst, seen * 2 * (1 + math.sqrt(t)))
    return worst


@claim("SGD", BUBECK, kind="theorem", predicts=at_least(1.0), tolerance=1e-9, wrong=clairvoyant(1.0), seeds=1)
def no_subgradient_method_beats_one_over_t(method: Any, seed: int) -> float:
    """For every t there is an α-strongly convex, G-Lipschitz function on which the first t points have f - inf f ≥ G² /
    8αt.

    G/2 max(x_1 … x_t) + α/2 ‖x‖² on the ball of radius G/2α, for G = 1, α = 1/4 and t = 2, 8, 32.
    """
    worst = math.inf
    for t in (2, 8, 32):
        p = worst_lipschitz(t + 3, t, 0.5, 0.25)
        worst = min(worst, _lowest(p, _first_largest(0.5, 0.25, t), method, t) * 8 * 0.25 * t)
    return worst


@claim(
    "SGD", BUBECK, kind="theorem", predicts=at_least(1.0), tolerance=1e-9, wrong=clairvoyant(0.5195), seeds=1
)
def no_gradient_method_beats_the_root_of_the_condition_number(method: Any, seed: int) -> float:
    """For every κ there is a function, α-strongly convex and ακ-smooth, on which the t-th point has f(x_t) - inf f ≥
    α/2 ((√κ-1)/(√κ+1))^{2(t-1)} ‖x_1 - x*‖².

    α(κ-1)/8 (x_1² + Σ(x_i - x_{i+1})² - 2x_1) + α/2 ‖x‖² with κ = 10 and L = 1, cut off after 80 coordinates, where x*
    is 1e-20; the least ratio for t = 2 … 15 and the methods of the other limits.
    """
    kappa = 10.0
    q, alpha = (math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1), 1 / kappa
    best = q ** torch.arange(1, 81, dtype=torch.float64)

    def slope(x: Tensor) -> Tensor:
        return (1 - alpha) * slope_of_worst(x) + alpha * x

    def gap(x: Tensor) -> Tensor:
        off = x - best
        bent = off[0].square() + (off[1:] - off[:-1]).square().sum() + off[-1].square()
        return (1 - alpha) / 8 * bent + alpha / 2 * off.square().sum()

    worst = math.inf
    for how in TRIED:
        for t, x in enumerate(wander(method, slope, torch.zeros_like(best), 14, **how)):
            bound = alpha / 2 * q ** (2 * t) * float(best.square().sum())
            worst = min(worst, float(gap(x)) / bound) if t else worst
    return worst
