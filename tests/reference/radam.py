"""RAdam: Adam whose steps are shortened by what is known of the variance of 1/√v.

Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (2020), https://arxiv.org/abs/1908.03265;
ε and the threshold as in torch.optim

    ρ∞ = 2 / (1 - β₂) - 1                     ρ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ)
    m ← β₁ m + (1 - β₁) g                     v ← β₂ v + (1 - β₂) g²
    ρ > 5:   w ← w - η r m̂ √(1 - β₂ᵗ) / (√v + ε)      r² = (ρ-4)(ρ-2) ρ∞ / ((ρ∞-4)(ρ∞-2) ρ)
    else:    w ← w - η m̂
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
    decoupled_weight_decay: bool = False,
) -> list[Tensor]:
    beta1, beta2 = betas
    end = 2 / (1 - beta2) - 1
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i] if decoupled_weight_decay else step[i] + weight_decay * w
            if decoupled_weight_decay:
                w = (1 - lr * weight_decay) * w
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            u = m / (1 - beta1**t)
            rho = end - 2 * t * beta2**t / (1 - beta2**t)
            if rho > 5:
                r = math.sqrt((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho))
                u = r * u * math.sqrt(1 - beta2**t) / (v.sqrt() + eps)
            w = w - lr * u
        final.append(w)
    return final
