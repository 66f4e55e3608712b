"""diffGrad: Adam times a friction that falls to a half where the gradient stays as it was.

Source: Dubey et al., "diffGrad: An Optimization Method for Convolutional Neural Networks" (2019),
https://arxiv.org/abs/1909.11015; the place of ε as in the authors' second file (diffGrad_v2.py)

    g ← g + λ w                               ξ = 1 / (1 + exp(-|g_t - g_{t-1}|)),  g_0 = 0
    m ← β₁ m + (1 - β₁) g                     v ← β₂ v + (1 - β₂) g²
    w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) ξ m / (√v + ε)
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v, last = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i] + weight_decay * w
            friction = 1 / (1 + (-(g - last).abs()).exp())
            last = g
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            rate = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
            w = w - rate * friction * m / (v.sqrt() + eps)
        final.append(w)
    return final
