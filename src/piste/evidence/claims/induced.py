"""The metric that the loss's graph induces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from ..problem import Problem, descend
from ..problems import quadratic
from .identities import noise, walk
from .polyak import adam_metric
from .wrong import instead, told

INDUCED = "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric"


@claim(
    "InducedMetricSGD",
    INDUCED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def the_induced_metric_clips(method: Any, seed: int) -> float:
    """The step in the induced metric is at most η / 2√ξ long, however steep the surface: smooth clipping.

    The longest step over that bound without averages, on gradients of 5 weights with sizes from 1e-3 to 1e3.
    """
    make, rate, xi = noise(seed, 5), 0.1, 0.1
    hyper: dict[str, Any] = {} if method.__name__ == "SGD" else {"momentum": 0.0, "beta": 0.0, "xi": xi}
    start = torch.zeros(5, dtype=torch.float64)
    points = walk(method, start, lambda t, w: make(t, w) * 10.0 ** (t % 7 - 3), 70, lr=rate, **hyper)
    longest = max(float((a - b).norm()) for a, b in itertools.pairwise(points))
    return longest / (rate / (2 * math.sqrt(xi)))


def metric_step(points: list[Tensor], rate: float, want: Callable[[int], Tensor]) -> float:
    moves = [(a - b) / rate for a, b in itertools.pairwise(points)]
    return max(float((u - want(t)).norm() / want(t).norm()) for t, u in enumerate(moves))


@claim(
    "InducedMetricSGD",
    INDUCED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("InducedMetricSGD", xi=0.2),
    seeds=3,
)
def the_step_is_the_gradient_in_the_induced_metric(method: Any, seed: int) -> float:
    """The step is the inverse of the surface's metric, I + ξ ggᵀ, times the gradient.

    The largest relative difference from the dense inverse without averages, over 10 random gradients of 6 weights.
    """
    make, eye = noise(seed, 6), torch.eye(6, dtype=torch.float64)
    start = torch.zeros(6, dtype=torch.float64)
    points = walk(method, start, make, 10, lr=0.1, momentum=0.0, beta=0.0, xi=0.5)

    def want(t: int) -> Tensor:
        g = make(t, start)
        return torch.linalg.solve(eye + 0.5 * torch.outer(g, g), g)

    return metric_step(points, 0.1, want)


@claim(
    "InducedMetricRMS",
    INDUCED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("InducedMetricRMS", xi=0.2),
    seeds=3,
)
def the_induced_metric_goes_around_a_preconditioner(method: Any, seed: int) -> float:
    """Around a preconditioner P the step is (P + ξ ggᵀ)⁻¹ g, here with RMSProp's P.

    The largest relative difference from the dense inverse without averages but P's, over 10 random gradients of 6
    weights.
    """
    make, start = noise(seed, 6), torch.zeros(6, dtype=torch.float64)
    points = walk(method, start, make, 10, lr=0.1, momentum=0.0, beta=0.0, xi=0.5, beta_rms=0.9)

    def want(t: int) -> Tensor:
        gs = [make(s, start) for s in range(t + 1)]
        p = torch.diag(adam_metric(gs, 0.9, 1e-8))
        return torch.linalg.solve(p + 0.5 * torch.outer(gs[-1], gs[-1]), gs[-1])

    return metric_step(points, 0.1, want)


@claim(
    "InducedMetricRMS",
    INDUCED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("Adam"),
    seeds=3,
)
def the_preconditioned_step_is_clipped_too(method: Any, seed: int) -> float:
    """In P's metric the step is at most η / 2√ξ long, whatever the number of weights.

    The longest step, measured by the root of ΔwᵀPΔw, over that bound; 100 weights, 30 random gradients, ξ = 1.
    """
    make, start = noise(seed, 100), torch.zeros(100, dtype=torch.float64)
    hyper: dict[str, Any] = (
        {} if method.__name__ == "Adam" else {"momentum": 0.0, "beta": 0.0, "xi": 1.0, "beta_rms": 0.9}
    )
    points = walk(method, start, make, 30, lr=0.1, **hyper)
    longest = 0.0
    for t, (a, b) in enumerate(itertools.pairwise(points)):
        p = adam_metric([make(s, start) for s in range(t + 1)], 0.9, 1e-8)
        longest = max(longest, float((p * (a - b).square()).sum().sqrt()))
    return longest / (0.1 / 2)


@claim(
    "InducedMetricLogSGD",
    INDUCED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("InducedMetricLogSGD", xi=0.2),
    seeds=3,
)
def the_log_step_is_the_gradient_of_the_logarithm(method: Any, seed: int) -> float:
    """The step is the gradient of log f in the metric of the surface (w, √ξ log f).

    The largest relative difference from (I + ξ ∇log f ∇log fᵀ)⁻¹ ∇log f without averages, over 10 steps on a quadratic.
    """
    p, eye = quadratic((1.0, 0.3, 0.1), seed), torch.eye(3, dtype=torch.float64)
    points = descend(p, method, 10, lr=0.1, momentum=0.0, beta=0.0, xi=0.5).points

    def want(t: int) -> Tensor:
        g = p.gradient(points[t]) / p.loss(points[t])
        return torch.linalg.solve(eye + 0.5 * torch.outer(g, g), g)

    return metric_step(points, 0.1, want)


@claim(
    "InducedMetricLogSGD",
    INDUCED,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=instead("InducedMetricSGD", momentum=0.0, beta=0.0, xi=0.5),
    seeds=3,
)
def the_log_step_does_not_see_the_losss_unit(method: Any, seed: int) -> float:
    """The path does not change when the loss is multiplied by a number: an effective schedule that needs no rate anew.

    The largest distance between the paths on f and on 100 f, over 20 steps on a quadratic.
    """
    p = quadratic((1.0, 0.3, 0.1), seed)
    larger = Problem("larger", lambda x: 100 * p.loss(x), p.start)
    hyper: dict[str, Any] = (
        {"momentum": 0.0, "beta": 0.0, "xi": 0.5} if method.__name__ == "InducedMetricLogSGD" else {}
    )
    paths = [descend(f, method, 20, lr=0.1, **hyper).points for f in (p, larger)]
    return max(float((a - b).abs().max()) for a, b in zip(*paths, strict=True))
