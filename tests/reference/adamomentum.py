"""AdaMomentum: the second moment is that of the momentum.

Source: Wang et al., "Rethinking Adam: A Twofold Exponential Moving Average Approach" (2021),
https://arxiv.org/abs/2106.11514; the place of ε as in the first author's code

    m ← β₁ m + (1 - β₁) g                     v ← β₂ v + (1 - β₂) m² + ε
    w ← w - η (m / (1 - β₁ᵗ)) / √(v / (1 - β₂ᵗ)) - η λ w
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-16,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = True,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i] if decoupled_weight_decay else step[i] + weight_decay * w
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * m**2 + eps
            if decoupled_weight_decay:
                w = (1 - lr * weight_decay) * w
            w = w - lr * (m / (1 - beta1**t)) / (v / (1 - beta2**t)).sqrt()
        final.append(w)
    return final
