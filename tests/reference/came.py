"""CAME: Adafactor with a momentum that is scaled by its confidence.

Source: Luo, Ren, Zheng, Jiang, Jiang and You, "CAME: Confidence-guided Adaptive Memory Efficient Optimization" (2023),
https://arxiv.org/abs/2307.02047; authors' code https://github.com/yangluo7/CAME, which this file follows

    r ← β₂ r + (1 - β₂) mean_j (g² + ε₁)        c ← β₂ c + (1 - β₂) mean_i (g² + ε₁)        v = r c / mean r
    u = g / √v;   û = u / max(1, RMS(u) / d);   m ← β₁ m + (1 - β₁) û
    R ← β₃ R + (1 - β₃) mean_j ((û - m)² + ε₂)   C ← β₃ C + (1 - β₃) mean_i ((û - m)² + ε₂)   S = R C / mean R
    w ← w - η λ w - η m / √S

A vector keeps v in full and steps by m.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 2e-4,
    betas: tuple[float, float, float] = (0.9, 0.999, 0.9999), eps: tuple[float, float] = (1e-30, 1e-16),
    clip_threshold: float = 1.0, weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    b1, b2, b3 = betas
    final = []
    for i, w in enumerate(params):
        r, c, m, big_r, big_c, v = (torch.zeros((), dtype=w.dtype) for _ in range(6))
        for step in grads:
            g = step[i]
            square = g**2 + eps[0]
            if g.ndim == 2:
                r, c = b2 * r + (1 - b2) * square.mean(1), b2 * c + (1 - b2) * square.mean(0)
                v = torch.outer(r, c) / r.mean()
            else:
                v = b2 * v + (1 - b2) * square
            u = g / v.sqrt()
            u = u / max(1.0, float((u**2).mean().sqrt()) / clip_threshold)
            m = b1 * m + (1 - b1) * u
            out = m
            if g.ndim == 2:
                unsure = (u - m) ** 2 + eps[1]
                big_r = b3 * big_r + (1 - b3) * unsure.mean(1)
                big_c = b3 * big_c + (1 - b3) * unsure.mean(0)
                out = m / (torch.outer(big_r, big_c) / big_r.mean()).sqrt()
            w = w - lr * weight_decay * w - lr * out
        final.append(w)
    return final
