"""Adan: Nesterov's momentum from differences of gradients.

Source: Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models" (2022),
https://arxiv.org/abs/2208.06677; debiasing and the β (the paper's are 1 - β) as in the authors' code

    d = g_t - g_{t-1},  0 at the first step
    m ← β₁ m + (1 - β₁) g     z ← β₂ z + (1 - β₂) d     n ← β₃ n + (1 - β₃) (g + β₂ d)²
    w ← [w - η (m̂ + β₂ ẑ) / (√n̂ + ε)] / (1 + η λ)
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    no_prox: bool = False,
) -> list[Tensor]:
    b1, b2, b3 = betas
    final = []
    for i, w in enumerate(params):
        m, z, n = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
        last = grads[0][i]
        for t, step in enumerate(grads, start=1):
            g = step[i]
            d, last = g - last, g
            m = b1 * m + (1 - b1) * g
            z = b2 * z + (1 - b2) * d
            n = b3 * n + (1 - b3) * (g + b2 * d) ** 2
            ahead = m / (1 - b1**t) + b2 * z / (1 - b2**t)
            u = lr * ahead / ((n / (1 - b3**t)).sqrt() + eps)
            w = w * (1 - lr * weight_decay) - u if no_prox else (w - u) / (1 + lr * weight_decay)
        final.append(w)
    return final
