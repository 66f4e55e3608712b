"""Weights with a scale and without: what is taken away along them, and where nothing is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..claim import claim, equal
from .grokking import EDGE
from .identities import farthest, noise, walk
from .scale_invariant import ADAMP, _turned
from .stochastic import draws, run
from .wrong import instead, told

ONES = torch.ones(30, dtype=torch.float64)


@claim(
    "OrthogradAdamW", EDGE, kind="theorem", predicts=equal(0.0), tolerance=1e-9, wrong=instead("AdamW"), seeds=3
)  # fmt: skip
def orthogonal_adamw_does_not_see_what_lies_along_the_weights(method: Any, seed: int) -> float:
    """⊥Grad takes the gradient's component along the weights away before Adam sees it: one that only asks for another
    length of the weights changes nothing.

    The largest difference over 60 steps between gradients and the same with 3w beside them, over the rate.
    """
    draw = noise(seed, 30)
    plain = {} if method.__name__ == "AdamW" else {"restore": False}
    runs = [
        walk(method, ONES, lambda t, w, more=more: draw(t, w) + more * w, 60, lr=0.01, **plain)
        for more in (0.0, 3.0)
    ]
    return farthest(*runs) / 0.01


def _radius_free(seed: int) -> Any:
    """The gradient of a linear function of the direction of a tensor, drawn anew for each step."""
    draw = noise(seed, 30)

    def gradient(t: int, w: Tensor) -> Tensor:
        unit = w / w.norm()
        g = draw(t, w)
        return (g - (g @ unit) * unit) / w.norm()

    return gradient


@claim(
    "OrthogradAdamW", EDGE, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=instead("Lion"), seeds=2
)  # fmt: skip
def orthogonal_adamw_is_adamw_on_weights_without_a_scale(method: Any, seed: int) -> float:
    """Where the loss depends on a tensor's direction only its gradients are orthogonal to it already, and ⊥AdamW is
    AdamW.

    The largest difference over 60 steps, over the rate.
    """
    gradient = _radius_free(seed)
    want = walk(instead("AdamW", weight_decay=0.0), ONES, gradient, 60, lr=0.01)
    return farthest(walk(method, ONES, gradient, 60, lr=0.01, weight_decay=0.0), want) / 0.01


@claim(
    "OrthogradSGD", EDGE, kind="theorem", predicts=equal(1.0), tolerance=1e-9, wrong=instead("SGD"), seeds=3
)  # fmt: skip
def orthogonal_sgd_lengthens_weights_by_its_steps_alone(method: Any, seed: int) -> float:
    """Every step is at right angles to the weights, so that ‖w‖² grows by the squares of the steps and nothing else:
    the loss cannot be lowered by scaling.

    The growth of ‖w‖² over Σ‖Δw‖², 60 steps of random gradients with 3w beside them.
    """
    draw = noise(seed, 30)
    points = torch.stack(walk(method, ONES, lambda t, w: draw(t, w) - 3 * w, 60, lr=0.03))
    return float((points[-1].square().sum() - points[0].square().sum()) / points.diff(dim=0).square().sum())


@claim(
    "OrthogradSGD", EDGE, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=instead("Lion"), seeds=2
)
def orthogonal_sgd_is_sgd_on_weights_without_a_scale(method: Any, seed: int) -> float:
    """Where the loss depends on a tensor's direction only its gradients are orthogonal to it already, and ⊥SGD is SGD,
    with momentum too.

    The largest difference over 60 steps, over the rate; μ = 0.9.
    """
    gradient = _radius_free(seed)
    want = walk(instead("SGD", momentum=0.9), ONES, gradient, 60, lr=0.01)
    return farthest(walk(method, ONES, gradient, 60, lr=0.01, momentum=0.9), want) / 0.01


def _along(seed: int) -> Any:
    """Gradients that are mostly along the weights."""
    draw = noise(seed, 4, 6)
    return lambda t, w: w + 0.1 * draw(t, w)


@claim(
    "AdamP", ADAMP, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=told("AdamP", delta=10.0), seeds=2
)  # fmt: skip
def adamp_is_adam_where_weights_have_a_scale(method: Any, seed: int) -> float:
    """Where gradients are not at right angles to the weights these are not scale-invariant, and nothing is projected.

    The largest difference to Adam over 60 steps of gradients that are mostly along the weights, over the rate.
    """
    start = torch.ones(4, 6, dtype=torch.float64)
    want = walk(instead("Adam"), start, _along(seed), 60, lr=0.01)
    return farthest(walk(method, start, _along(seed), 60, lr=0.01), want) / 0.01


@claim("AdamP", ADAMP, kind="identity", predicts=equal(1.0), tolerance=1e-6, wrong=instead("Adam"), seeds=3)
def adamp_lengthens_scale_invariant_weights_by_its_steps_alone(method: Any, seed: int) -> float:
    """On scale-invariant weights the part of the step along them is taken away: ‖w‖² grows by the squares of the steps
    and by no more (but for ε), where momentum has it grow faster and its own rate fall too soon.

    The growth of ‖w‖² over Σ‖Δw‖² in 200 steps on scale-invariant rows.
    """
    points = run(method, draws(seed + 100)(4, 6), _turned(seed), 200, lr=0.05)
    return float((points[-1].square().sum() - points[0].square().sum()) / points.diff(dim=0).square().sum())


@claim(
    "SGDP",
    ADAMP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("SGDP", delta=10.0),
    seeds=2,
)
def sgdp_is_momentum_where_weights_have_a_scale(method: Any, seed: int) -> float:
    """Where gradients are not at right angles to the weights these are not scale-invariant, and nothing is projected.

    The largest difference to SGD, μ = 0.9, over 60 steps of gradients that are mostly along the weights, over the rate.
    """
    start = torch.ones(4, 6, dtype=torch.float64)
    want = walk(instead("SGD", momentum=0.9), start, _along(seed), 60, lr=0.001)
    return farthest(walk(method, start, _along(seed), 60, lr=0.001, momentum=0.9), want) / 0.001
