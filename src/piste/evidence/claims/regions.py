"""Convex functions over a ball or a box: projections and corners.

An expectation is taken over runs beside each other on one instance, so that every instance (a seed) counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._transform import Chain, Part, chain
from ...transforms.decay import descend
from ...transforms.projection import project_ball, project_box
from ..claim import at_most, claim
from ..methods import of_chain
from ..problems.convex import paired_data
from ..problems.quadratics import rotation
from .papers import BUBECK
from .rows import RUNS, largest, single, upto, wander
from .wrong import told


def _boxed(times: float = 1.0) -> Callable[..., Any]:
    """Projected descent; ``times``: on the rate, for wrong methods."""

    def make(lr: float, side: float) -> Chain:
        return chain(descend(times * lr), project_box(-side, side))

    return of_chain(make)


def balled(*before: Part, times: float = 1.0) -> Callable[..., Any]:
    def make(lr: float, radius: float) -> Chain:
        return chain(descend(times * lr), *before, project_ball(radius))

    return of_chain(make)


def apart(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """mean |aᵢᵀx - bᵢ| at each of the points."""
    return (x @ a.mT - b).abs().mean(-1)


def _one_row(a: Tensor, b: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    """A subgradient of one row for each run."""
    draws = single(seed + 500, len(a))

    def subgradient(x: Tensor) -> Tensor:
        i = next(draws)[:, 0]
        return a[i] * ((a[i] * x).sum(1) - b[i]).sign().unsqueeze(1)

    return subgradient


def all_rows(a: Tensor, b: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: (x @ a.mT - b).sign() @ a / len(a)


@claim(
    "project_ball", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=balled(times=1e-3),
    subject=balled(), seeds=3,
)  # fmt: skip
def projected_subgradients(method: Any, seed: int) -> float:
    """Over a ball of radius R around the start, with subgradients of at most G and the rate R/G√t, the average of t
    points has f(x̄) - f* ≤ RG/√t.

    Mean absolute deviations of 40 rows, x* on the rim of the ball, t = 20, 80 and 320.
    """
    a, b, best = paired_data(40, 6, seed)
    radius, steep, worst = float(best.norm()), float(a.norm(dim=1).mean()), 0.0
    for t in (20, 80, 320):
        rate = radius / (steep * math.sqrt(t))
        path = wander(method, all_rows(a, b), torch.zeros_like(best), t - 1, lr=rate, radius=radius)
        seen = apart(a, b, torch.stack(list(path)).mean(0)) - apart(a, b, best)
        worst = max(worst, float(seen) * math.sqrt(t) / (radius * steep))
    return worst


@claim(
    "project_box", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=_boxed(1e-3),
    subject=_boxed(), seeds=3,
)  # fmt: skip
def projected_stochastic_subgradients(method: Any, seed: int) -> float:
    """With stochastic subgradients of E‖g‖² ≤ B², a minimizer at ‖x_1 - x*‖ ≤ R and the rate R/B√t, the average of t
    projected points has E f(x̄) - f* ≤ RB/√t.

    Mean absolute deviations of 40 rows over the smallest box that holds x*, one row a step, t = 20, 80 and 320, 64
    runs.
    """
    a, b, best = paired_data(40, 6, seed)
    radius, steep, worst = float(best.norm()), float(a.square().sum(1).mean().sqrt()), 0.0
    for t in (20, 80, 320):
        start, rate = torch.zeros(RUNS, 6, dtype=torch.float64), radius / (steep * math.sqrt(t))
        path = wander(method, _one_row(a, b, seed), start, t - 1, lr=rate, side=float(best.abs().max()))
        seen = apart(a, b, torch.stack(list(path)).mean(0)).mean() - apart(a, b, best)
        worst = max(worst, float(seen) * math.sqrt(t) / (radius * steep))
    return worst


@claim(
    "project_box", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=_boxed(1e-3),
    subject=_boxed(), seeds=3,
)  # fmt: skip
def stochastic_subgradients_under_strong_convexity(method: Any, seed: int) -> float:
    """If f is α-strongly convex, E‖g‖² ≤ B² and the rate is 2/α(s+1), the average of x_1 … x_t with weights in
    proportion to s has E f(x̄) - f* ≤ 2B²/α(t+1).

    Mean absolute deviations plus α/2 ‖x - x*‖², α = 0.5, over the smallest box that holds x*, one row a step; the
    largest ratio for t = 1 … 400, 64 runs. B is bounded by √mean‖aᵢ‖² + α times the diagonal of the box.
    """
    a, b, best = paired_data(40, 6, seed)
    alpha, side = 0.5, float(best.abs().max())
    steep = float(a.square().sum(1).mean().sqrt()) + alpha * 2 * side * math.sqrt(6)
    kinked, start = _one_row(a, b, seed), torch.zeros(RUNS, 6, dtype=torch.float64)

    def subgradient(x: Tensor) -> Tensor:
        return kinked(x) + alpha * (x - best)

    path = wander(method, subgradient, start, 399, lr=lambda t: 2 / (alpha * (t + 2)), side=side)
    s = upto(400, 1)
    mean = (s[:, None, None] * torch.stack(list(path))).cumsum(0) / s.cumsum(0)[:, None, None]
    losses = apart(a, b, mean) + alpha / 2 * (mean - best).square().sum(-1)
    return largest(losses.mean(1) - apart(a, b, best), 2 * steep**2 / (alpha * (s + 1)))


def _cornered(seed: int, spectrum: tuple[float, ...], side: float) -> tuple[Tensor, Tensor, Tensor]:
    """A, c and x* of ½ (x - x*)ᵀ A (x - x*) + cᵀ(x - x*), whose minimizer over ‖x‖∞ ≤ side is x*: half of its
    coordinates lie at their limits, where -c points outward."""
    q = rotation(len(spectrum), seed)
    random = torch.Generator().manual_seed(seed + 500)
    inside = (2 * torch.rand(len(spectrum), generator=random, dtype=torch.float64) - 1) * side
    held = torch.arange(len(spectrum)) % 2 == 0
    push = torch.where(held, torch.rand(len(spectrum), generator=random, dtype=torch.float64), 0.0)
    best = torch.where(held, side * inside.sign(), inside)
    return q @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ q.mT, -push * best.sign(), best


def _bowl(a: Tensor, c: Tensor, off: Tensor) -> Tensor:
    """f - f* at points that are ``off`` from x*."""
    return 0.5 * ((off @ a) * off).sum(-1) + off @ c


SPECTRUM = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.0, 0.0)


@claim(
    "project_box", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=_boxed(1e-3),
    subject=_boxed(), seeds=4,
)  # fmt: skip
def projected_gradients_on_smooth_functions(method: Any, seed: int) -> float:
    """Projected gradient descent with the rate 1/L has f(x_t) - f* ≤ (3L ‖x_1 - x*‖² + f(x_1) - f*)/t.

    A singular quadratic over a box, whose minimizer was put at half of the limits, from a corner; the largest ratio for
    t = 2 … 400.
    """
    a, c, best = _cornered(seed, SPECTRUM, 1.0)
    start = -best.sign()
    path = torch.stack(list(wander(method, lambda x: a @ (x - best) + c, start, 399, lr=1.0, side=1.0)))
    gaps = _bowl(a, c, path - best)
    return largest(gaps[1:], (3 * (start - best).square().sum() + gaps[0]) / upto(400, 2))


@claim(
    "project_box", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=_boxed(0.02),
    subject=_boxed(), seeds=4,
)  # fmt: skip
def projected_gradients_under_strong_convexity(method: Any, seed: int) -> float:
    """Projected gradient descent with the rate 1/L has ‖x_t - x*‖² ≤ exp(-t/κ) ‖x_0 - x*‖².

    A quadratic of κ = 20 over a box, whose minimizer was put at half of the limits, the largest ratio over 200 steps;
    the wrong method is fifty times slower.
    """
    a, c, best = _cornered(seed, (1.0, 0.7, 0.4, 0.2, 0.1, 0.05), 1.0)
    path = wander(method, lambda x: a @ (x - best) + c, -best.sign(), 200, lr=1.0, side=1.0)
    seen = (torch.stack(list(path)) - best).square().sum(-1)
    return largest(seen[1:], (-upto(200, 1) / 20).exp() * seen[0] + 1e-24)


@claim(
    "Lion", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=told("Lion", weight_decay=0.0),
    seeds=4,
)  # fmt: skip
def corners_of_the_box(method: Any, seed: int) -> float:
    """Conditional gradients, x_{t+1} = (1-γ_t) x_t + γ_t y_t with y_t the corner that the gradient points to and γ_t =
    2/(t+1), have f(x_t) - f* ≤ 2LD²/(t+1) on a set of diameter D.

    Lion without memory, β = (0, 0), with decay 1/r and the rate rγ_t is this method for ‖x‖∞ ≤ r. A singular quadratic
    over a box, r = 0.5, whose minimizer was put at half of the limits; the largest ratio for t = 2 … 400,
    infinite if the box is left.
    """
    r = 0.5
    a, c, best = _cornered(seed, SPECTRUM, r)
    path = wander(
        method, lambda x: a @ (x - best) + c, torch.zeros_like(best), 399, lr=lambda t: r * 2 / (t + 2),
        betas=(0.0, 0.0), weight_decay=1 / r,
    )  # fmt: skip
    points = torch.stack(list(path))
    bound = 2 * (4 * r**2 * len(best)) / (upto(400, 2) + 1)
    return largest(_bowl(a, c, points - best)[1:], bound) if points.abs().max() <= r + 1e-12 else math.inf
