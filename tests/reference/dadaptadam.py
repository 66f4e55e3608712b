"""Adam with D-Adaptation.

Source: Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation" (2023), https://arxiv.org/abs/2301.07733;
authors' code https://github.com/facebookresearch/dadaptation (dadapt_adam.py, version 3), which this file follows

With β = √β₂ and λ_k = γ d_k (times Adam's bias correction, if asked for):

    r ← β r + (1-β) λ ⟨g, s / (√v + ε)⟩;   s ← β s + (1-β) λ g
    m ← β₁ m + (1-β₁) λ g;   v ← β₂ v + (1-β₂) g²;   d ← max(d, min(r / ((1-β) ‖s‖₁), κ d))
    x ← x - λ wd x - m / (√v + ε)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = {"hyper": {"d0": 1e-2, "use_bias_correction": True}}


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8, weight_decay: float = 0.0, use_bias_correction: bool = False, d0: float = 1e-6,
    growth_rate: float = math.inf,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    beta = beta2**0.5
    x = torch.cat([p.flatten() for p in params])
    s, m, v = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    d, r = d0, 0.0
    for t, row in enumerate(grads, start=1):
        g = torch.cat([a.flatten() for a in row])
        rate = d * lr
        if use_bias_correction:
            rate *= (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        r = beta * r + (1 - beta) * rate * (g @ (s / (v.sqrt() + eps)))
        s = beta * s + (1 - beta) * rate * g
        m = beta1 * m + (1 - beta1) * rate * g
        v = beta2 * v + (1 - beta2) * g**2
        d = max(d, min(float(r / ((1 - beta) * s.abs().sum())), d * growth_rate))
        x = x - rate * weight_decay * x - m / (v.sqrt() + eps)
    return [a.view_as(p) for a, p in zip(x.split([p.numel() for p in params]), params)]
