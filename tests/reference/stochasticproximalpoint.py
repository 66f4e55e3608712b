"""The stochastic proximal point method, its inner problem by subgradients.

Source: Davis and Drusvyatskiy, "Stochastic model-based minimization of weakly convex functions" (2019),
https://arxiv.org/abs/1803.06523, algorithm 4.1 with the loss itself for a model

    w ← argmin_y f(y) + ‖y - w‖² / 2η

The inner problem is 1/η-strongly convex, up to what f lacks of convexity: the subgradient method y ← y - s_j (∇f(y) +
(y - w)/η) with s_j = 2η/(j + 1), j = 1, 2, …, `inner_steps` + 1 times from y = w.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CASES = [{"lr": 0.5}, {"lr": 2.0, "inner_steps": 3}, {"lr": 0.1, "inner_steps": 0}]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1e-2,
    inner_steps: int = 10,
) -> list[Tensor]:
    for _ in range(steps):
        y = params
        for j in range(1, inner_steps + 2):
            leaves = [x.detach().clone().requires_grad_() for x in y]
            slopes = torch.autograd.grad(loss(leaves), leaves)
            size = 2 * lr / (j + 1)
            y = [x - size * (g + (x - w) / lr) for x, g, w in zip(y, slopes, params)]
        params = y
    return params
