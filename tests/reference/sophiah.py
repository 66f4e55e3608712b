"""Sophia-H: momentum over Hutchinson's estimate of the Hessian's diagonal, clipped entry by entry.

Source: Liu, Li, Hall, Liang and Ma, "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model
Pre-training" (2023), https://arxiv.org/abs/2305.14342, algorithms 1 and 3

    m ← β₁ m + (1 - β₁) g
    t mod k = 1:  h ← β₂ h + (1 - β₂) z ⊙ ∇²f(w) z
    w ← (1 - η λ) w;    w ← w - η clip(m / max(γ h, ε), 1)

γ is called `rho`, as in the code of Sophia-G. z has random signs here (the paper: normal numbers), and is given.
The library's products are by differences, these by double backward.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-7
CASES = [
    {"lr": 0.01},
    {"lr": 0.02, "rho": 0.3, "update_each": 3, "weight_decay": 0.0},
    {"lr": 0.02, "rho": 2.0},
]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    draws: Callable[[int], list[Tensor]],
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.96, 0.99),
    rho: float = 0.01,
    eps: float = 1e-12,
    weight_decay: float = 0.1,
    update_each: int = 10,
) -> list[Tensor]:
    m = [torch.zeros_like(w) for w in params]
    h = [torch.zeros_like(w) for w in params]
    for t in range(1, steps + 1):
        leaves = [w.detach().clone().requires_grad_() for w in params]
        grads = torch.autograd.grad(loss(leaves), leaves, create_graph=True)
        z = [n.sign() for n in draws(t)]
        for i, g in enumerate(grads):
            m[i] = betas[0] * m[i] + (1 - betas[0]) * g.detach()
        if (t - 1) % update_each == 0:
            along = sum((g * s).sum() for g, s in zip(grads, z))
            for i, (hz, s) in enumerate(zip(torch.autograd.grad(along, leaves), z)):
                h[i] = betas[1] * h[i] + (1 - betas[1]) * s * hz
        params = [(1 - lr * weight_decay) * w for w in params]
        params = [
            w - lr * (a / (rho * b).clamp(min=eps)).clamp(min=-1, max=1) for w, a, b in zip(params, m, h)
        ]
    return params
