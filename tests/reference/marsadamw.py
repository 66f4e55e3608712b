"""MARS-AdamW, approximate: the gradient, corrected by the one before, clipped, then AdamW.

Source: Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models" (2024),
https://arxiv.org/abs/2411.10438; authors' code https://github.com/AGI-Arena/MARS

    c ← g + γ β₁ / (1 - β₁) (g - h)      h the last gradient, 0 at first (the code's choice)
    c ← c / max(1, ‖c‖)                  tensor by tensor
    m ← β₁ m + (1 - β₁) c                v ← β₂ v + (1 - β₂) c²
    w ← w - η (m̂ / (√v̂ + ε) + λ w)       h ← g
"""

from __future__ import annotations

import torch
from torch import Tensor


def corrected(grads: list[list[Tensor]], i: int, gamma: float, beta1: float) -> list[Tensor]:
    """The clipped c of every step for the i-th parameter."""
    last = torch.zeros_like(grads[0][i])
    found = []
    for step in grads:
        g = step[i]
        c = g + gamma * beta1 / (1 - beta1) * (g - last)
        found.append(c / max(1.0, float(c.norm())))
        last = g
    return found


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    gamma: float = 0.025,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, c in enumerate(corrected(grads, i, gamma, beta1), start=1):
            m = beta1 * m + (1 - beta1) * c
            v = beta2 * v + (1 - beta2) * c**2
            direction = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)
            w = w - lr * (direction + weight_decay * w)
        final.append(w)
    return final
