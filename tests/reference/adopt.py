"""ADOPT: scaled by the second moment of the gradients before, clipped, averaged.

Source: Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any β_2 with the Optimal Rate" (2024),
https://arxiv.org/abs/2411.02853; clipping as in its second version and the authors' code

    v ← g₀²                                   the first gradient takes no step
    t = 1, 2, …:   m ← β₁ m + (1 - β₁) clip(g / max(√v, ε), ±t^¼)
                   w ← w - η m;   v ← β₂ v + (1 - β₂) g²
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.9999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    clip: bool = True,
    decoupled_weight_decay: bool = False,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        coupled = 0.0 if decoupled_weight_decay else weight_decay
        m, v = torch.zeros_like(w), (grads[0][i] + coupled * w) ** 2
        for t, step in enumerate(grads[1:], start=1):
            g = step[i] + coupled * w
            if decoupled_weight_decay:
                w = (1 - lr * weight_decay) * w
            u = g / v.sqrt().clamp(min=eps)
            if clip:
                u = u.clamp(-(t**0.25), t**0.25)
            m = beta1 * m + (1 - beta1) * u
            w = w - lr * m
            v = beta2 * v + (1 - beta2) * g**2
        final.append(w)
    return final
