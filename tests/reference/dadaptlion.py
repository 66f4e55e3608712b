"""Lion with D-Adaptation.

Source: Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation" (2023), https://arxiv.org/abs/2301.07733;
authors' code https://github.com/facebookresearch/dadaptation (dadapt_lion.py), which this file follows

With β = √β₂ and λ = γ d:

    u = sign(β₁ m + (1-β₁) g);   x ← (1 - λ wd) x - λ u;   m ← β₂ m + (1-β₂) λ g
    r ← β r + (1-β) λ ⟨u, s⟩;   s ← β s + (1-β) λ u;   d ← max(d, r / ((1-β) ‖s‖₁))
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # steps of one size
CASE = {"hyper": {"d0": 1e-2}}


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0, d0: float = 1e-6,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    beta = beta2**0.5
    x = torch.cat([p.flatten() for p in params])
    s, m, d, r = torch.zeros_like(x), torch.zeros_like(x), d0, 0.0
    for row in grads:
        g = torch.cat([a.flatten() for a in row])
        rate = d * lr
        u = (beta1 * m + (1 - beta1) * g).sign()
        x = (1 - rate * weight_decay) * x - rate * u
        m = beta2 * m + (1 - beta2) * rate * g
        r = beta * r + (1 - beta) * rate * (u @ s)
        s = beta * s + (1 - beta) * rate * u
        d = max(d, float(r / ((1 - beta) * s.abs().sum())))
    return [a.view_as(p) for a, p in zip(x.split([p.numel() for p in params]), params)]
