"""LaProp: gradients are scaled, then averaged.

Source: Ziyin, Wang and Ueda, "LaProp: Separating Momentum and Adaptivity in Adam" (2020),
https://arxiv.org/abs/2002.04839

    v ← β₂ v + (1 - β₂) g²                    m ← β₁ m + (1 - β₁) g / (√(v / (1 - β₂ᵗ)) + ε)
    w ← w - η (m / (1 - β₁ᵗ) + λ w)           the decay is ours, AdamW's
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 4e-4,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-15,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            v = beta2 * v + (1 - beta2) * g**2
            m = beta1 * m + (1 - beta1) * g / ((v / (1 - beta2**t)).sqrt() + eps)
            w = w - lr * (m / (1 - beta1**t) + weight_decay * w)
        final.append(w)
    return final
