"""NAdam: Adam with the momentum of the next step.

Source: Dozat, "Incorporating Nesterov Momentum into Adam" (2016), https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ,
as torch.optim writes it

    μ_t = β₁ (1 - ½ 0.96^(t ψ))              Π_t = μ_1 μ_2 ⋯ μ_t
    m ← β₁ m + (1 - β₁) g                     v ← β₂ v + (1 - β₂) g²
    w ← w - η [(1 - μ_t) / (1 - Π_t) g + μ_{t+1} / (1 - Π_{t+1}) m] / (√(v / (1 - β₂ᵗ)) + ε)

In the paper m is averaged with μ_t. L2 enters the gradient, a decoupled decay shrinks w before the step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
) -> list[Tensor]:
    def mu(t: int) -> float:
        return betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            if decoupled_weight_decay:
                w = (1 - lr * weight_decay) * w
            else:
                g = g + weight_decay * w
            m = betas[0] * m + (1 - betas[0]) * g
            v = betas[1] * v + (1 - betas[1]) * g**2
            past = math.prod(mu(s) for s in range(1, t + 1))
            u = (1 - mu(t)) / (1 - past) * g + mu(t + 1) / (1 - past * mu(t + 1)) * m
            w = w - lr * u / ((v / (1 - betas[1] ** t)).sqrt() + eps)
        final.append(w)
    return final
