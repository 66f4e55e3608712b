"""Steps of random length: what they are for, and what they cost."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, between, claim, equal
from ..problem import Problem
from ..tuning import tuned
from .online_learners import ridges
from .stochastic import draws
from .wrong import told

SCALING = "Random Scaling and Momentum for Non-smooth Non-convex Optimization"


def of_one_length(params: Any, draw_seed: int = 0, **hyper: Any) -> Any:
    """The same momentum, its steps not scaled: SGD with momentum."""
    beta = hyper.get("beta", 0.99)
    return get("SGD", "optimizer").target(params, lr=beta * hyper["lr"], momentum=beta)


@claim(
    "RandomlyScaledSGDM", SCALING, kind="theorem", predicts=equal(0.0), tolerance=0.1, wrong=of_one_length,
    seeds=4,
)  # fmt: skip
def exponential_lengths_make_every_function_linear_in_the_mean(method: Any, seed: int) -> float:
    """For s exponentially distributed E F(x + sΔ) - F(x) = E⟨∇F(x + sΔ), Δ⟩, whatever F is.

    The difference of both sides, over the mean size of ⟨∇F, Δ⟩: 1,500 steps of one Δ from one x, F the mean of 30
    absolute values ||⟨a, x⟩| - b|.
    """
    p, steep = ridges(seed, far=2.0)
    w = torch.nn.Parameter(p.start.clone())
    push = draws(seed + 7)(6)
    opt, moved = method([w], lr=1.5 / steep, beta=1e-12, draw_seed=seed), []
    for _ in range(1500):
        w.data.copy_(p.start)
        w.grad = 1e12 * push  # the momentum forgets all but the newest
        opt.step()
        moved.append(w.detach().clone())
    ends = torch.stack(moved).requires_grad_()
    losses = torch.func.vmap(p.loss)(ends)
    (slopes,) = torch.autograd.grad(losses.sum(), ends)
    along = -1.5 / steep * (slopes * push).sum(1)
    return float((losses.detach() - p.loss(p.start)).mean() - along.mean()) / float(along.abs().mean())


def stationarity(method: Any, p: Problem, steep: float, steps: int, seed: int) -> float:
    """‖E∇F(y)‖ + c E‖y - x̄‖² of the discounted distribution over the points y of a run with mean x̄, c = 1, averaged
    over its second half; 1 - β ∝ ε² and the steps' length ∝ (1 - β)√ε for ε ∝ N^-2/7."""
    eps = steep * (100 / steps) ** (2 / 7)
    beta = 1 - (eps / (4 * steep)) ** 2
    size = (1 - beta) * math.sqrt(eps)
    w = torch.nn.Parameter(p.start.clone())
    opt = method([w], lr=size * math.sqrt(1 - beta) / steep, beta=beta, mu=0.0, draw_seed=seed)
    slope, point, square, seen = torch.zeros_like(p.start), p.start, p.start.square().sum(), []
    for t in range(1, steps + 1):
        share = (1 - beta) / (1 - beta**t)
        g, y = p.gradient(w), w.detach().clone()
        slope, point = slope + share * (g - slope), point + share * (y - point)
        square = square + share * (y.square().sum() - square)
        if 2 * t > steps:
            seen.append(float(slope.norm() + square - point.square().sum()))
        w.grad = g
        opt.step()
    return sum(seen) / len(seen)


@claim(
    "RandomlyScaledSGDM", SCALING, kind="empirical", predicts=at_most(0.55), tolerance=0.1,
    wrong=told("RandomlyScaledSGDM", beta=0.5), seeds=3, cost="full",
    scale="30 absolute deviations of |⟨a, x⟩| in 6 dimensions, 400 and 3,200 steps",
)  # fmt: skip
def random_lengths_reach_stationarity_at_the_best_rate(method: Any, seed: int) -> float:
    """A (c, ε)-stationary point is reached within O(c^½ ε^-7/2) steps: in N steps ε falls as N^-2/7.

    What the discounted points of a run say, ‖E∇F(y)‖ + c E‖y - x̄‖², after 3,200 steps over that after 400, which N^-2/7
    makes 0.55; c = 1, hyperparameters as N wants them.
    """
    p, steep = ridges(seed)
    return stationarity(method, p, steep, 3200, seed) / stationarity(method, p, steep, 400, seed)


def _trained(method: Any, seed: int, lr: float, steps: int = 250) -> float:
    """The mean loss over the last fifth of a run: a ReLU network of 8 units on a stream of batches of 8 from a teacher
    with noise."""
    normal = draws(seed)
    teacher = normal(12, 4), normal(1, 12) / 12**0.5
    w, v = (torch.nn.Parameter(x) for x in (normal(8, 4) / 2, normal(1, 8) / 8**0.5))
    opt, losses = method([w, v], lr=lr, beta=0.9, draw_seed=seed), []
    for _ in range(steps):
        x: Tensor = normal(8, 4)
        y = (x @ teacher[0].mT).clamp(min=0) @ teacher[1].mT + 0.3 * normal(8, 1)
        opt.zero_grad()
        loss = ((x @ w.mT).clamp(min=0) @ v.mT - y).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        opt.step()
    tail = losses[-steps // 5 :]
    return sum(tail) / len(tail)


@claim(
    "RandomlyScaledSGDM", SCALING, kind="empirical", predicts=between(0.75, 1.33), tolerance=0.0,
    wrong=told("RandomlyScaledSGDM", beta=0.0, lr=1e-4), in_mean=False, seeds=4, cost="full",
    scale="ReLU networks of 8 units in 4 dimensions on a stream, 250 batches of 8",
)  # fmt: skip
def random_lengths_train_as_well_as_equal_ones(method: Any, seed: int) -> float:
    """In training a network, SGD with momentum whose steps have random lengths does about as well as with equal ones.

    The loss over the last fifth of the steps over that of SGD with momentum, both at their best rate of a grid of
    doublings and a momentum of 0.9.
    """
    grid = [2.0**k for k in range(-10, -3)]
    mine = min(_trained(method, seed, lr) for lr in grid)
    return mine / tuned(lambda lr: _trained(of_one_length, seed, lr), grid).score
