"""SGD with momentum in the metric of the surface of the loss's logarithm.

Source: Harvey, "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric" (2025),
https://arxiv.org/abs/2509.03594; author's code https://github.com/harveyThomas4692/Induced-Metric-Optimiser

    m ← μ m + (1 - μ) g;   s ← β s + (1 - β) ξ ‖g‖²;   w ← w - η m̂ f / (f² + ŝ) - η λ w

with norms over all parameters, m̂ and ŝ divided by 1 - μᵗ and 1 - βᵗ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CASES = [{}, {"xi": 1.0, "beta": 0.5, "momentum": 0.5, "weight_decay": 0.1}]


def evaluate(loss: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    value = loss(leaves)
    return value.detach(), list(torch.autograd.grad(value, leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 0.1,
    momentum: float = 0.9,
    xi: float = 0.1,
    beta: float = 0.8,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    m, s = [torch.zeros_like(w) for w in params], 0.0
    for t in range(1, steps + 1):
        value, row = evaluate(loss, params)
        m = [momentum * a + (1 - momentum) * g for a, g in zip(m, row)]
        s = beta * s + (1 - beta) * xi * sum((g**2).sum() for g in row)
        factor = lr * value / (value**2 + s / (1 - beta**t)) / (1 - momentum**t)
        params = [(1 - lr * weight_decay) * w - factor * a for w, a in zip(params, m)]
    return params
