"""Adam in the metric of the loss surface over Adam's own.

Source: Harvey, "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric" (2025),
https://arxiv.org/abs/2509.03594; author's code https://github.com/harveyThomas4692/Induced-Metric-Optimiser

    m ← μ m + (1 - μ) g;   s ← β s + (1 - β) ξ gᵀ (√v̂ + ε)⁻¹ g,   v ← β₂ v + (1 - β₂) g²
    w ← w - η m̂ / (√v̂ + ε) / (1 + ŝ) - η λ w

with norms over all parameters, m̂ and ŝ divided by 1 - μᵗ and 1 - βᵗ.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.9,
    xi: float = 0.1,
    beta: float = 0.8,
    beta_rms: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    m = [torch.zeros_like(w) for w in params]
    v = [torch.zeros_like(w) for w in params]
    s = 0.0
    for t, row in enumerate(grads, start=1):
        m = [momentum * a + (1 - momentum) * g for a, g in zip(m, row)]
        v = [beta_rms * a + (1 - beta_rms) * g**2 for a, g in zip(v, row)]
        denominators = [(a / (1 - beta_rms**t)) ** 0.5 + eps for a in v]
        s = beta * s + (1 - beta) * xi * sum((g**2 / b).sum() for g, b in zip(row, denominators))
        factor = lr / (1 + s / (1 - beta**t)) / (1 - momentum**t)
        params = [(1 - lr * weight_decay) * w - factor * a / b for w, a, b in zip(params, m, denominators)]
    return params
