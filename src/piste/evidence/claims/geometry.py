"""What a change of axes does to a method."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..claim import at_least, claim, equal
from ..problem import descend
from ..problems import quadratic
from .wrong import instead

EXPLOITS = "Adam Exploits ℓ∞-geometry of Loss Landscape via Coordinate-wise Adaptivity"
SAM = "The Dynamics of Sharpness-Aware Minimization: Bouncing Across Ravines and Drifting Towards Wide Minima"
SPECTRUM = tuple(10.0**-i for i in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))


def _end(method: Any, seed: int, rotated: bool, **hyper: Any) -> float:
    """f at the end over f at the start, with the rate falling to 0. Start and target are turned with the axes."""
    p = quadratic(SPECTRUM, seed, rotated)
    trace = descend(p, method, 400, schedule=lambda t: 1 - t / 400, **hyper)
    return trace.losses[-1] / trace.losses[0]


@claim("SGD", EXPLOITS, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=instead("Adam"), seeds=3)
def rotation_does_nothing_to_sgd(method: Any, seed: int) -> float:
    """SGD with momentum takes the same way in turned axes.

    The relative difference of the losses of 100 steps from start and minimum that are turned with the axes.
    """
    p, q = quadratic(SPECTRUM, seed, False), quadratic(SPECTRUM, seed, True)
    assert p.minimizer is not None and q.minimizer is not None
    turn = torch.linalg.eigh(torch.autograd.functional.hessian(q.loss, q.start))[1].flip(-1)
    start = q.minimizer + turn @ (p.start - p.minimizer)
    hyper: dict[str, Any] = {"lr": 0.5, "momentum": 0.9}
    a = descend(p, method, 100, **hyper).losses
    b = descend(q, method, 100, start=start, **hyper).losses
    return max(abs(x - y) / x for x, y in zip(a, b, strict=True))


@claim(
    "Adam",
    EXPLOITS,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.9),
    seeds=4,
    scale="a quadratic of 8 numbers, condition number 3,000, 400 steps, rate 0.1 falling to 0",
)
def rotation_slows_adam(method: Any, seed: int) -> float:
    """Adam leaves a larger loss after the same steps when the axes of an ill-conditioned problem are turned at random.

    The decimal logarithm of the ratio of final losses, turned over not turned.
    """
    turned, straight = (_end(method, seed, r, lr=0.1) for r in (True, False))
    return math.log10(turned / max(straight, 1e-300))


@claim(
    "SAM",
    SAM,
    kind="theorem",
    predicts=at_least(0.999),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.0),
    seeds=3,
)
def sam_bounces_across_the_steepest_axis(method: Any, seed: int) -> float:
    """On a quadratic SAM ends in a cycle that goes to and fro along the leading eigenvector.

    |cosine| of the last step with it after 400 steps (0 where the method has come to rest).
    """
    p = quadratic((1.0, 0.5, 0.2), seed)
    trace = descend(p, method, 400, lr=0.5, momentum=0.0, rho=0.1)
    step = trace.points[-1] - trace.points[-2]
    leading = torch.linalg.eigh(torch.autograd.functional.hessian(p.loss, p.start))[1][:, -1]
    return float((step @ leading).abs() / step.norm()) if step.norm() > 1e-6 else 0.0
