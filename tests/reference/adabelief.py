"""AdaBelief: the second moment of what the average did not foresee.

Source: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients" (2020),
https://arxiv.org/abs/2010.07468; rectification as in the authors' code, which is RAdam's

    m ← β₁ m + (1 - β₁) g                     s ← β₂ s + (1 - β₂) (g - m)² + ε
    w ← (1 - η λ) w - η r m̂ / (√(s / (1 - β₂ᵗ)) + ε)      r: see radam.py; the step is η m̂ before ρ exceeds 5
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-16, weight_decay: float = 0.0, rectify_steps: bool = True, decoupled_weight_decay: bool = True,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    end = 2 / (1 - beta2) - 1
    final = []
    for i, w in enumerate(params):
        m, s = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            if decoupled_weight_decay:
                w = w - lr * weight_decay * w
            else:
                g = g + weight_decay * w
            m = beta1 * m + (1 - beta1) * g
            s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
            u = m / (1 - beta1**t) / ((s / (1 - beta2**t)).sqrt() + eps)
            if rectify_steps:
                rho = end - 2 * t * beta2**t / (1 - beta2**t)
                if rho > 5:
                    u = u * math.sqrt((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho))
                else:
                    u = m / (1 - beta1**t)
            w = w - lr * u
        final.append(w)
    return final
