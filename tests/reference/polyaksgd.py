"""SGD with Polyak's step, bounded: SPS_max.

Source: Loizou, Vaswani, Laradji and Lacoste-Julien, "Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate
for Fast Convergence" (2021), https://arxiv.org/abs/2002.10542

    γ = min((f - f*) / (c ‖g‖²), γ_max);   w ← w - η (γ g + λ w)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-10  # long steps: roundings grow
CASES = [{}, {"c": 0.5, "max_step": 0.3, "f_star": 0.1, "lr": 0.7, "weight_decay": 0.1}]


def gradient(
    loss: Callable[[list[Tensor]], Tensor], params: list[Tensor]
) -> tuple[float, list[Tensor], float]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    value = loss(leaves)
    grads = torch.autograd.grad(value, leaves)
    return float(value.detach()), list(grads), float(sum((g**2).sum() for g in grads))


def reference(
    params: list[Tensor], loss: Callable[[list[Tensor]], Tensor], steps: int, lr: float = 1.0, f_star: float = 0.0,
    max_step: float = math.inf, c: float = 1.0, weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    for _ in range(steps):
        value, grads, size = gradient(loss, params)
        step = min(max(0.0, value - f_star) / (c * size), max_step)
        params = [w - lr * (step * g + weight_decay * w) for w, g in zip(params, grads)]
    return params
