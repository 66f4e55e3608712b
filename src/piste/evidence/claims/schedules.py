"""Schedules, and methods that need none."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._transform import chain
from ...transforms.decay import descend as descend_by
from ..claim import at_least, at_most, claim
from ..methods import of_chain
from ..problem import Problem, descend
from ..problems import absolute
from .descent import square
from .papers import FREE, HANDBOOK
from .wrong import scaled

LINEAR = "Optimal Linear Decay Learning Rate Schedules and Further Refinements"


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1e-3), seeds=3
)
def averaged_subgradients(method: Any, seed: int) -> float:
    """On a convex function with subgradients of at most G the average of points has f(x̄_T) - inf f ≤ D²/2γT + γG²/2.

    ‖x - x*‖₁ in 10 dimensions, 400 steps of the rate D/G√T.
    """
    p, t = absolute(seed=seed), 400
    assert p.lipschitz is not None
    far = math.sqrt(square(p, p.start))
    return p.gap(descend(p, method, t, lr=far / (p.lipschitz * math.sqrt(t))).mean) / (
        far * p.lipschitz / math.sqrt(t)
    )


@claim(
    "SGD", LINEAR, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1e-3), seeds=3
)
def linear_decay_is_optimal_for_the_last_point(method: Any, seed: int) -> float:
    """With γ_t = D/(G√T) · (1 - t/T) the last point has f(x_T) - inf f ≤ DG/√T.

    ‖x - x*‖₁ in 10 dimensions, T = 400, t = 1 … T.
    """
    p, t = absolute(seed=seed), 400
    assert p.lipschitz is not None
    far = math.sqrt(square(p, p.start))
    rate = far / (p.lipschitz * math.sqrt(t))
    trace = descend(p, method, t, lr=rate, schedule=lambda k: 1 - (k + 1) / t)
    return p.gap(trace.end) / (far * p.lipschitz / math.sqrt(t))


def _hard(steps: int) -> tuple[torch.Tensor, Any]:
    """A maximum of steps + 1 linear functions, of slopes below 1, on which subgradient descent of the rates 1/√t from 0
    meets a new one in every step: the rows, and the first of those that are largest at a point."""
    j = torch.arange(1, steps + 1, dtype=torch.float64)
    rows = (1 / (8 * (steps - j + 1))).expand(steps + 1, steps).tril(-1).clone()
    rows[:steps] -= torch.diag((j / steps).sqrt() / 2)

    def slope(x: torch.Tensor) -> torch.Tensor:
        heights = rows @ x
        return rows[int((heights > heights.max() - 1e-12).nonzero()[0])]

    return rows, slope


@claim(
    "SGD",
    LINEAR,
    kind="theorem",
    predicts=at_least(1.5),
    tolerance=0.0,
    wrong=of_chain(lambda lr: chain(descend_by(0.07))),
    seeds=1,
)
def linear_decay_ends_lower_than_the_root_in_the_worst_case(method: Any, seed: int) -> float:
    """For the last point a rate that falls linearly is better in the worst case than one that falls as 1/√t, which
    loses a factor of ln T.

    How far f ends above f(x₀) = 0 with η_t = 1/√t, relative to (1 - t/T)/√T, on the maximum of 201 linear functions of
    200 numbers that is made to be hardest for the former; T = 200. 1.5 is taken for better, the constant being open.
    """
    steps = 200
    rows, slope = _hard(steps)
    ends = []
    for decay in (lambda t: (t + 1) ** -0.5, lambda t: (1 - (t + 1) / steps) / math.sqrt(steps)):
        w = torch.nn.Parameter(torch.zeros(steps, dtype=torch.float64))
        opt = method([w], lr=1.0)
        for t in range(steps):
            for group in opt.param_groups:
                group["lr"] = decay(t)
            w.grad = slope(w.detach())
            opt.step()
        ends.append(float((rows @ w.detach()).max()))
    return ends[0] / ends[1]


@claim(
    "ScheduleFreeSGD",
    FREE,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("ScheduleFreeSGD", 1e-3),
    seeds=3,
)
def schedule_free_has_the_optimal_rate_without_a_schedule(method: Any, seed: int) -> float:
    """For every β the averaged point of schedule-free SGD with γ = D/G√T has f(x_T) - inf f ≤ DG/√T.

    ‖x - x*‖₁ in 10 dimensions, 400 steps, β = 0.9.
    """
    p, t = absolute(seed=seed), 400
    assert p.lipschitz is not None
    far = math.sqrt(square(p, p.start))
    end = _averaged(p, method, t, far / (p.lipschitz * math.sqrt(t)))
    return p.gap(end) / (far * p.lipschitz / math.sqrt(t))


def _averaged(p: Problem, method: Any, steps: int, lr: float) -> torch.Tensor:
    """The point that schedule-free methods answer with, where gradients are taken elsewhere."""
    x = torch.nn.Parameter(p.start.clone())
    opt = method([x], lr=lr)
    for _ in range(steps):
        opt.zero_grad()
        p.loss(x).backward()
        opt.step()
    with opt.averaged():
        return x.detach().clone()
