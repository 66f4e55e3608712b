"""AdaFisher: momentum over the outer product of a layer's mean squared inputs and output gradients.

Source: Martins Gomes, Zhang, Belilovsky, Wolf and Hosseini, "AdaFisher: Adaptive Second Order Optimization via
Fisher Information" (2024), https://arxiv.org/abs/2405.16397; authors' code
https://github.com/AtlasAnalyticsLab/AdaFisher, which this file follows. Every `TCov` steps, of a layer with inputs a
(a 1 behind them) and the gradients g of the *mean* loss at its outputs:

    h = N(mean a²)   s = N(mean g²)      N(x) = (x - min x) / (max x - min x + 1e-6)
    H ← γ/10 H + γ/100 h,   S ← γ/10 S + γ/100 s          both ones at first
    g ← ∇W + weight_decay W;   m ← β m + (1 - β) g;   W ← W - η m / (1 - βᵗ) / (S Hᵀ + Λ)

The paper has two decays, H ← γ₁ H + (1 - γ₂) h with 0.92 and 0.008 at first; the published code the above.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.kfac import Batch, passes

CASES = [{}, {"TCov": 3, "weight_decay": 0.1, "Lambda": 0.01, "gamma": 0.9, "beta": 0.8}]


def normalized(x: Tensor) -> Tensor:
    return (x - x.min()) / (x.max() - x.min() + 1e-6)


def reference(
    weights: list[Tensor],
    batches: list[Batch],
    lr: float = 1e-3,
    beta: float = 0.9,
    Lambda: float = 1e-3,
    gamma: float = 0.8,
    TCov: int = 100,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> list[Tensor]:
    H: list[Tensor] = []
    S: list[Tensor] = []
    m = [torch.zeros_like(w) for w in weights]
    for t, (x, y) in enumerate(batches, start=1):
        layers = passes(weights, x, y)
        new = []
        for i, (a, g) in enumerate(layers):
            count = len(x)
            ones = torch.cat([a, torch.ones_like(a[:, :1])], 1)
            if t == 1:
                H.append(torch.ones_like(ones[0]))
                S.append(torch.ones_like(g[0]))
            if (t - 1) % TCov == 0:
                H[i] = 0.1 * gamma * H[i] + 0.01 * gamma * normalized((ones**2).mean(0))
                S[i] = 0.1 * gamma * S[i] + 0.01 * gamma * normalized(((g / count) ** 2).mean(0))
            F = S[i][:, None] * H[i][None, :] + Lambda
            for k, grad, scale in ((2 * i, g.T @ a / count, F[:, :-1]), (2 * i + 1, g.mean(0), F[:, -1])):
                w = weights[k]
                m[k] = beta * m[k] + (1 - beta) * (grad if decoupled else grad + weight_decay * w)
                step = m[k] / (1 - beta**t) / scale
                new.append(w - lr * (step + weight_decay * w if decoupled else step))
        weights = new
    return weights
