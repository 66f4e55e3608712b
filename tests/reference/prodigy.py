"""Prodigy: Adam with an estimate of the distance to the solution for a rate.

Source: Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (2024),
https://arxiv.org/abs/2306.06101; authors' code https://github.com/konstmish/prodigy, which this file follows

With β₃ = √β₂ and γ times Adam's bias correction, if asked for:

    r ← β₃ r + γ d²/d₀ ⟨g, x₀ - x⟩;   s ← β₃ s + γ d²/d₀ g   (safeguard_warmup: without γ);   d̂ = c r / ‖s‖₁
    m ← β₁ m + (1-β₁) d g;   v ← β₂ v + (1-β₂) d² g²
    d₊ = d, or max(d, d̂) as long as d = d₀;   d_max ← max(d_max, d̂);   d₊ ← min(d_max, κ d₊)
    x ← x - γ d (wd x + m / (√v + d₊ ε));   d ← d₊
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = {
    "hyper": {
        "d0": 1e-2,
        "use_bias_correction": True,
        "safeguard_warmup": True,
        "growth_rate": 1.2,
        "d_coef": 2.0,
    }
}


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.999),
    beta3: float | None = None, eps: float = 1e-8, weight_decay: float = 0.0, use_bias_correction: bool = False,
    safeguard_warmup: bool = False, d0: float = 1e-6, d_coef: float = 1.0, growth_rate: float = math.inf,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    beta3 = beta2**0.5 if beta3 is None else beta3
    x = start = torch.cat([p.flatten() for p in params])
    s, m, v = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    d, most, r = d0, d0, 0.0
    for t, row in enumerate(grads, start=1):
        g = torch.cat([a.flatten() for a in row])
        gamma = lr
        if use_bias_correction:
            gamma *= (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        r = beta3 * r + gamma * d**2 / d0 * float(g @ (start - x))
        s = beta3 * s + (1.0 if safeguard_warmup else gamma) * d**2 / d0 * g
        m = beta1 * m + (1 - beta1) * d * g
        v = beta2 * v + (1 - beta2) * d**2 * g**2
        found = d_coef * r / float(s.abs().sum())
        most = max(most, found)
        after = min(most, growth_rate * (max(d, found) if d == d0 else d))
        x = x - gamma * d * (weight_decay * x + m / (v.sqrt() + after * eps))
        d = after
    return [a.view_as(p) for a, p in zip(x.split([p.numel() for p in params]), params)]
