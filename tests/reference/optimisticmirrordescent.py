"""Optimistic online mirror descent, Euclidean, with the last gradient as the hint, over a ball.

Source: Chen, Zhang, Tu, Zhao and Zhang, "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial
Online Convex Optimization" (2023), https://arxiv.org/abs/2302.04552; step sizes as restated in Wang, Barik, Zhao and
Tan, "Parameter-free Algorithms for the Stochastically Extended Adversarial Model" (2025), section 2.2

    x_t = Π(x̂_t - η_t g_{t-1});   x̂_{t+1} = Π(x̂_t - η_t g_t)
    η_t = D / √(ε + Σ_{s<t} ‖g_s - g_{s-1}‖²),   g_0 = 0

Π is the nearest point of the ball of the given radius around 0, of all parameters as one vector.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = dict(hyper={"lr": 1.0, "radius": 5.0, "offset": 2.0})  # the start lies outside


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-2,
    radius: float = math.inf,
    offset: float = 1.0,
) -> list[Tensor]:
    def nearest(x: Tensor) -> Tensor:
        return x if x.norm() <= radius else x * (radius / x.norm())

    hat = torch.cat([p.flatten() for p in params])
    x, last, total = hat, torch.zeros_like(hat), 0.0
    for row in grads:
        g = torch.cat([part.flatten() for part in row])
        hat = nearest(hat - lr / math.sqrt(offset + total) * g)
        total += float((g - last).square().sum())
        last = g
        x = nearest(hat - lr / math.sqrt(offset + total) * last)
    pieces = x.split([p.numel() for p in params])
    return [piece.view_as(p) for piece, p in zip(pieces, params)]
