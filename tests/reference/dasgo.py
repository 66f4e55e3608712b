"""DASGO: ASGO's diagonal, one rate for each column.

Source: An et al., "ASGO: Adaptive Structured Gradient Optimization" (2025), https://arxiv.org/abs/2503.20762; authors'
code https://github.com/infinity-stars/ASGO

    m ← μ m + (1 - μ) g;   v_j ← β₂ v_j + (1 - β₂) Σ_i g_ij²;   u = m / √(v + ε);   u ← 0.2 √(rows · columns) u / ‖u‖_F
    w ← (1 - η λ) w - η u
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8)], tolerance=1e-12)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.9,
    beta2: float = 0.95,
    eps: float = 1e-8,
    weight_decay: float = 0.1,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros(w.shape[1], dtype=w.dtype)
        for row in grads:
            m = momentum * m + (1 - momentum) * row[i]
            v = beta2 * v + (1 - beta2) * (row[i] ** 2).sum(0)
            u = m / (v + eps).sqrt()
            w = (1 - lr * weight_decay) * w - lr * 0.2 * w.numel() ** 0.5 * u / u.norm()
        final.append(w)
    return final
