"""AdEMAMix: two averages of the gradient, one of them very slow.

Source: Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster, Older" (2024),
https://arxiv.org/abs/2409.03137

    m₁ ← β₁ m₁ + (1 - β₁) g     m₂ ← β₃ m₂ + (1 - β₃) g     v ← β₂ v + (1 - β₂) g²
    w ← w - η [(m₁ / (1 - β₁ᵗ) + α m₂) / (√(v / (1 - β₂ᵗ)) + ε) + λ w]

α(t) = α min(1, t/T_α); ln ½ / ln β₃(t), the half-life, rises linearly from β₁'s to β₃'s in T_β steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = dict(hyper={"beta3_warmup": 20, "alpha_warmup": 12, "betas": (0.9, 0.95, 0.99)})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3,
    betas: tuple[float, float, float] = (0.9, 0.999, 0.9999), alpha: float = 2.0, eps: float = 1e-8,
    weight_decay: float = 0.0, beta3_warmup: int = 0, alpha_warmup: int = 0,
) -> list[Tensor]:  # fmt: skip
    b1, b2, b3 = betas
    final = []
    for i, w in enumerate(params):
        fast, slow, v = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            share = alpha * min(1.0, t / alpha_warmup) if alpha_warmup else alpha
            decay = b3
            if t < beta3_warmup:
                first, last = (math.log(0.5) / math.log(b) for b in (b1, b3))
                decay = 0.5 ** (1 / (first + (last - first) * t / beta3_warmup))
            fast = b1 * fast + (1 - b1) * g
            slow = decay * slow + (1 - decay) * g
            v = b2 * v + (1 - b2) * g**2
            u = (fast / (1 - b1**t) + share * slow) / ((v / (1 - b2**t)).sqrt() + eps)
            w = w - lr * (u + weight_decay * w)
        final.append(w)
    return final
