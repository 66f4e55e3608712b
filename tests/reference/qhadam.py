"""QHAdam: Adam with both averages mixed with what is fresh.

Source: Ma and Yarats, "Quasi-hyperbolic momentum and Adam for deep learning" (2019), https://arxiv.org/abs/1810.06801

    g ← g + λ w           m ← β₁ m + (1 - β₁) g          v ← β₂ v + (1 - β₂) g²
    w ← w - η [(1 - ν₁) g + ν₁ m / (1 - β₁ᵗ)] / (√((1 - ν₂) g² + ν₂ v / (1 - β₂ᵗ)) + ε)
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(hyper={"nus": (0.7, 0.9)})


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.995, 0.999),
    nus: tuple[float, float] = (0.7, 1.0),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i] if decoupled_weight_decay else step[i] + weight_decay * w
            if decoupled_weight_decay:
                w = (1 - lr * weight_decay) * w
            m = betas[0] * m + (1 - betas[0]) * g
            v = betas[1] * v + (1 - betas[1]) * g**2
            above = (1 - nus[0]) * g + nus[0] * m / (1 - betas[0] ** t)
            below = (1 - nus[1]) * g**2 + nus[1] * v / (1 - betas[1] ** t)
            w = w - lr * above / (below.sqrt() + eps)
        final.append(w)
    return final
