"""Ano: against the sign of the momentum, as far as today's gradient is large.

Source: Kegreisz, "ANO : Faster is Better in Noisy Landscape" (2025), https://arxiv.org/abs/2508.18258; author's code
https://github.com/Adrienkgz/ano-experiments, which this follows

    m ← β₁ m + (1 - β₁) g;   v ← β₂ v + (1 - β₂) sign(g² - v) g²
    w ← (1 - η λ) w - η |g| sign(m) / √(v / (1 - β₂ᵗ) + ε)

`growing`: Anolog, β₁ = 1 - 1/log(t + 2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sequences(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.92, 0.99),
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
            beta1 = 1 - 1 / math.log(t + 2) if growing else beta1
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (g * g - v).sign() * g * g
            w = (1 - lr * weight_decay) * w - lr * g.abs() * m.sign() / (v / (1 - beta2**t) + eps).sqrt()
        final.append(w)
    return final


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)  # type: ignore[arg-type]
