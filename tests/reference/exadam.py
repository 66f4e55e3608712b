"""EXAdam: moments debiased by each other, and today's gradient beside its average.

Source: Adly, "EXAdam: The Power of Adaptive Cross-Moments" (2024), https://arxiv.org/abs/2412.20302; the second
version, with the decay of the authors' code. `growing` is the step size of the first version.

    m ← β₁ m + (1 - β₁) g                     v ← β₂ v + (1 - β₂) g²
    d₁ = 1 + β₂ᵗ v / (v + ε)                  d₂ = 1 + β₁ᵗ m² / (m² + ε)
    m̃ = d₁ m / (1 - β₁ᵗ)   g̃ = d₁ g / (1 - β₁ᵗ)   ṽ = d₂ v / (1 - β₂ᵗ)
    w ← w - η (m̃ + g̃) / (√ṽ + ε) - η λ w      growing: η ln(√2 √(t+1)) for η
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    growing: bool = False,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            d1 = 1 + beta2**t * v / (v + eps)
            d2 = 1 + beta1**t * m**2 / (m**2 + eps)
            m_tilde, g_tilde = d1 * m / (1 - beta1**t), d1 * g / (1 - beta1**t)
            v_tilde = d2 * v / (1 - beta2**t)
            rate = lr * math.log(math.sqrt(2) * math.sqrt(t + 1)) if growing else lr
            w = w - rate * ((m_tilde + g_tilde) / (v_tilde.sqrt() + eps) + weight_decay * w)
        final.append(w)
    return final
