"""MARS-AdamW with the true difference: the weights of the step before on today's batch.

Source: Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models" (2024),
https://arxiv.org/abs/2411.10438; authors' code https://github.com/AGI-Arena/MARS (whose first correction is taken
against a gradient of 0; in the paper, as here, the step before the first is the first)

On a loss that is the same at every step, as here, the correction is the change of the gradient along the path.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CASES = [{}, {"weight_decay": 0.1, "gamma": 0.5, "lr": 0.02}]


def slope(loss: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> list[Tensor]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    return list(torch.autograd.grad(loss(leaves), leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    gamma: float = 0.025,
) -> list[Tensor]:
    beta1, beta2 = betas
    before = params
    m, v = [torch.zeros_like(w) for w in params], [torch.zeros_like(w) for w in params]
    for t in range(1, steps + 1):
        here, there = slope(loss, params), slope(loss, before)
        before, after = params, []
        for i, w in enumerate(params):
            c = here[i] + gamma * beta1 / (1 - beta1) * (here[i] - there[i])
            c = c / max(1.0, float(c.norm()))
            m[i] = beta1 * m[i] + (1 - beta1) * c
            v[i] = beta2 * v[i] + (1 - beta2) * c**2
            direction = m[i] / (1 - beta1**t) / ((v[i] / (1 - beta2**t)).sqrt() + eps)
            after.append(w - lr * (direction + weight_decay * w))
        params = after
    return params
