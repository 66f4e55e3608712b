"""SGD with momentum in the metric of the loss surface.

Source: Harvey, "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric" (2025),
https://arxiv.org/abs/2509.03594; author's code https://github.com/harveyThomas4692/Induced-Metric-Optimiser

    m ← μ m + (1 - μ) g;   s ← β s + (1 - β) ξ ‖g‖²;   w ← w - η m̂ / (1 + ŝ) - η λ w

with norms over all parameters, m̂ and ŝ divided by 1 - μᵗ and 1 - βᵗ.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.9,
    xi: float = 0.1,
    beta: float = 0.8,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    m = [torch.zeros_like(w) for w in params]
    s = 0.0
    for t, row in enumerate(grads, start=1):
        m = [momentum * a + (1 - momentum) * g for a, g in zip(m, row)]
        s = beta * s + (1 - beta) * xi * sum((g**2).sum() for g in row)
        factor = lr / (1 + s / (1 - beta**t)) / (1 - momentum**t)
        params = [(1 - lr * weight_decay) * w - factor * a for w, a in zip(params, m)]
    return params
