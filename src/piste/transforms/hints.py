"""Hints: a step from where the gradients have led, and one ahead on what the next is expected to be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, transform, weights
from ._numbers import where


@transform(room="delta", scope="tree", secondary=weights, last_grad=moment, variation=scalar(shared=True))
def optimistic_ball(
    u: Tensor, param: Tensor, grad: Tensor, dot: Any, secondary: Tensor, last_grad: Tensor, variation: Tensor, *,
    lr: float, radius: float, offset: float,
) -> Any:  # fmt: skip
    """x̂ ← Π(x̂ - η_t g);  V ← V + ‖g - h‖²;  p ← Π(x̂ - η_{t+1} g);  h ← g,   η_t = η/√(ε + V)

    for a step δ = -ηg: the gradient is the hint for the next one. Π is the nearest point of the ball of radius r around
    0, all tensors as one vector; p is in it to rounding. A step at η = 0 moves nothing.

    Reference: "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex Optimization",
    Sijia Chen, Yu-Jie Zhang, Wei-Wei Tu, Peng Zhao, Lijun Zhang, 2023, https://arxiv.org/abs/2302.04552
    """
    change = grad - last_grad
    later = variation + dot(change, change).to(variation.dtype)

    def shortened(x: Tensor, v: Tensor) -> Tensor:
        x = x + u * (offset + v).rsqrt().to(u.dtype)
        norm = dot(x, x).sqrt()
        outside = norm > radius
        return x * torch.where(outside, radius / torch.where(outside, norm, 1.0), 1.0).to(x.dtype)

    base = shortened(secondary, variation)
    return where(lr == 0, u, shortened(base, later) - param), base, grad, later


@transform(invariant=("sign",), last_grad=moment)
def hint_by_last_gradient(g: Tensor, last_grad: Tensor) -> Any:
    """u = 2g - h, h the gradient of the step before (0 at the first): optimism in one step.

    In front of ``descend(lr)`` it is optimistic gradient descent, x ← x̂ - ηg from x̂ ← x̂ - ηg; with ``exponentiate``
    behind that, optimistic hedge on the simplex, p ∝ x̂ exp(-ηg) from x̂ ∝ x̂ exp(-ηg). η must stand still.

    Reference: "Online Learning with Predictable Sequences", Alexander Rakhlin, Karthik Sridharan, 2013,
    https://proceedings.mlr.press/v30/Rakhlin13.html
    """
    return 2 * g - last_grad, g
