"""Adafactor: factored second moments, clipped and relative steps.

Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (2018),
https://arxiv.org/abs/1804.04235, algorithms 4 (matrices) and 5 (vectors); proposed ε₁ = 1e-30, ε₂ = 1e-3, d = 1,
ρ = min(1e-2, 1/√t), β̂₂ = 1 - t^-0.8

    R ← β̂₂ R + (1 - β̂₂) (G² + ε₁ 1 1ᵀ) 1         C ← β̂₂ C + (1 - β̂₂) 1ᵀ (G² + ε₁ 1 1ᵀ)      V̂ = R C / 1ᵀR
    vectors:  V̂ ← β̂₂ V̂ + (1 - β̂₂) (G² + ε₁)
    U = G / √V̂;   Û = U / max(1, RMS(U) / d);   X ← X - max(ε₂, RMS(X)) ρ Û

Of torch: `lr` in the place of ρ's 1e-2, and decay of the old weights by 1 - ηλ.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rms(x: Tensor) -> Tensor:
    return (x**2).mean().sqrt()


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, beta2_decay: float = -0.8,
    eps: tuple[float, float] = (1e-30, 1e-3), d: float = 1.0, weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    final = []
    for i, x in enumerate(params):
        rows = cols = v = torch.zeros((), dtype=x.dtype)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            beta = 1 - t**beta2_decay
            square = g**2 + eps[0]
            if g.ndim == 2:
                rows = beta * rows + (1 - beta) * square.sum(1)
                cols = beta * cols + (1 - beta) * square.sum(0)
                v = torch.outer(rows, cols) / rows.sum()
            else:
                v = beta * v + (1 - beta) * square
            u = g / v.sqrt()
            u = u / max(1.0, float(rms(u)) / d)
            x = x * (1 - lr * weight_decay) - max(eps[1], float(rms(x))) * min(lr, t**-0.5) * u
        final.append(x)
    return final
