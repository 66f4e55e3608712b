"""Adam-mini: AdamW with one second moment for each block of a partition.

Source: Zhang, Chen, Li, Ding, Wu, Kingma, Ye, Luo and Sun, "Adam-mini: Use Fewer Learning Rates To Gain More" (2024),
https://arxiv.org/abs/2406.16793; authors' code https://github.com/zyushun/Adam-mini (version 1.1.1)

    m ← β₁ m + (1 - β₁) g            v_b ← β₂ v_b + (1 - β₂) mean over the block b of g²
    w ← (1 - η λ) w - η m̂ / (√v̂_b + ε)

The blocks of a matrix are its rows (neurons, tokens); a vector is one block.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8, weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    b1, b2 = betas
    final = []
    for i, w in enumerate(params):
        blocks = list(w.reshape(len(w), -1)) if w.ndim > 1 else [w.reshape(-1)]
        done = []
        for b, block in enumerate(blocks):
            m, v = torch.zeros_like(block), 0.0
            for t, step in enumerate(grads, start=1):
                g = step[i][b] if w.ndim > 1 else step[i].reshape(-1)
                m = b1 * m + (1 - b1) * g
                v = b2 * v + (1 - b2) * float((g**2).mean())
                rate = lr / (1 - b1**t) / ((v / (1 - b2**t)) ** 0.5 + eps)
                block = (1 - lr * weight_decay) * block - rate * m
            done.append(block)
        final.append(torch.stack(done).reshape(w.shape))
    return final
