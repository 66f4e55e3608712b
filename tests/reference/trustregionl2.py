"""The least of ⟨m, x⟩ where ‖x - (1 - η λ) w‖ ≤ η, over all parameters together: normalized SGD with momentum.

Source: Kovalev, "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region
Optimization" (2025), https://arxiv.org/abs/2503.12645

    m ← μ m + (1 - μ) g                  the paper's α is 1 - μ, its β is η λ
    w ← (1 - η λ) w - η m / ‖m‖
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # steps of one size


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    averages = [torch.zeros_like(w) for w in params]
    for step in grads:
        averages = [momentum * m + (1 - momentum) * g for m, g in zip(averages, step)]
        length = torch.cat([m.flatten() for m in averages]).norm()
        params = [(1 - lr * weight_decay) * w - lr * m / length for w, m in zip(params, averages)]
    return params
