"""Schedules, and methods that need none."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..claim import at_most, claim
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
