"""An energy that falls at any rate."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from ..claim import at_most, claim, equal
from ..problem import descend
from ..problems import quadratic
from .polyak import adam_metric, with_loss
from .wrong import instead, told

AEGD = "AEGD: Adaptive Gradient Descent with Energy"
AEPG = "Adaptive Preconditioned Gradient Descent with Energy"


@claim(
    "AEGD",
    AEGD,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def the_path_is_finite_at_any_rate(method: Any, seed: int) -> float:
    """Whatever the rate, the squared steps of AEGD add up to at most η n (f(w₀) + c): it is unconditionally stable.

    The largest ratio of the sum to the bound over rates 0.1, 1, 10 and 1000, 100 steps on a quadratic with curvature up
    to 10.
    """
    p, worst = quadratic((10.0, 1.0, 0.1), seed), 0.0
    for rate in (0.1, 1.0, 10.0, 1000.0):
        points = descend(p, method, 100, lr=rate).points
        path = sum(float((a - b).square().sum()) for a, b in itertools.pairwise(points))
        worst = max(worst, path / (rate * 3 * (float(p.loss(p.start)) + 1)))
    return worst if math.isfinite(worst) else math.inf


@claim(
    "AEGD",
    AEGD,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-12,
    wrong=told("AEGD", c=100.0),
    seeds=3,
)
def the_energy_falls_at_any_rate(method: Any, seed: int) -> float:
    """The energy of every weight falls at every step, for any rate.

    The largest ratio of an energy to the one before over rates 0.1, 10 and 1000, 50 steps on a quadratic.
    """
    p, worst = quadratic((10.0, 1.0, 0.1), seed), 0.0
    for rate in (0.1, 10.0, 1000.0):
        first = torch.full((3,), math.sqrt(float(p.loss(p.start)) + 1), dtype=torch.float64)
        _, states = with_loss(p, method, 50, lr=rate)
        energies = [first, *(s["energy"] for s in states)]
        worst = max(worst, *(float((b / a).max()) for a, b in itertools.pairwise(energies)))
    return worst


@claim(
    "AEPG",
    AEPG,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def the_preconditioned_path_is_finite_at_any_rate(method: Any, seed: int) -> float:
    """Whatever the rate, the steps of AEPG, squared in the preconditioner's metric, add up to at most η (f(w₀) + c).

    The largest ratio of the sum to the bound over rates 0.1, 1, 10 and 1000, 60 steps on a quadratic with curvature up
    to 10; the metric is Adam's.
    """
    p, worst = quadratic((10.0, 1.0, 0.1), seed), 0.0
    for rate in (0.1, 1.0, 10.0, 1000.0):
        points = descend(p, method, 60, lr=rate).points
        gradients, path = [p.gradient(w) for w in points[:-1]], 0.0
        for t, (a, b) in enumerate(itertools.pairwise(points)):
            path += float((adam_metric(gradients[: t + 1], 0.999, 1e-8) * (a - b).square()).sum())
        worst = max(worst, path / (rate * (float(p.loss(p.start)) + 1)))
    return worst if math.isfinite(worst) else math.inf


@claim(
    "AEPG",
    AEPG,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("AEPG", c=2.0),
    seeds=3,
)
def the_energy_follows_the_root_of_the_loss(method: Any, seed: int) -> float:
    """The energy changes as the linear model of √(f + c) along the step: r_{n+1} - r_n = ∇lᵀ(w_{n+1} - w_n).

    The largest difference over 20 steps on a quadratic, relative to r₀, with c = 1.
    """
    p = quadratic((10.0, 1.0, 0.1), seed)
    points, states = with_loss(p, method, 20, lr=0.5, c=1.0)
    first = last = math.sqrt(float(p.loss(p.start)) + 1)
    worst = 0.0
    for before, after, state in zip(points, points[1:], states, strict=False):
        slope = p.gradient(before) / (2 * math.sqrt(float(p.loss(before)) + 1))
        worst = max(worst, abs(float(state["energy"]) - last - float(slope @ (after - before))) / first)
        last = float(state["energy"])
    return worst
