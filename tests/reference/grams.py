"""Grams: Adam's length, against today's gradient.

Source: Cao, Li and Song, "Grams: Gradient Descent with Adaptive Momentum Scaling" (2024),
https://arxiv.org/abs/2412.17107; authors' code https://github.com/Gunale0926/Grams

    m ← β₁ m + (1 - β₁) g;   v ← β₂ v + (1 - β₂) g²
    w ← (1 - η λ) w - η √(1 - β₂ᵗ)/(1 - β₁ᵗ) sign(g) |m| / (√v + ε)

ε is added before the bias correction, as in the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    correct_bias: bool = True,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            size = lr * ((1 - beta2**t) ** 0.5 / (1 - beta1**t) if correct_bias else 1.0)
            w = (1 - lr * weight_decay) * w - size * g.sign() * m.abs() / (v.sqrt() + eps)
        final.append(w)
    return final
