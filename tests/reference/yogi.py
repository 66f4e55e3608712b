"""Yogi: a second moment that moves by the size of what comes in.

Source: Zaheer et al., "Adaptive Methods for Nonconvex Optimization" (2018), https://papers.nips.cc/paper/8186,
algorithm 2; bias correction and the start of v as in TensorFlow Addons

    m ← β₁ m + (1 - β₁) g                     v ← v - (1 - β₂) sign(v - g²) g²,  v₀ = 1e-6
    w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) m / (√v + ε)          (paper: without the two corrections)
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-2,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-3,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 1e-6,
    correct_bias: bool = True,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.full_like(w, initial_accumulator_value)
        for t, step in enumerate(grads, start=1):
            g = step[i] + weight_decay * w
            m = beta1 * m + (1 - beta1) * g
            v = torch.where(v > g**2, v - (1 - beta2) * g**2, v + (1 - beta2) * g**2)
            rate = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) if correct_bias else lr
            w = w - rate * m / (v.sqrt() + eps)
        final.append(w)
    return final
