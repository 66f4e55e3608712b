"""OPT-AMSGrad: AMSGrad that steps against the gradient it expects next.

Source: Wang, Li, Karimi and Li, "An Optimistic Acceleration of AMSGrad for Nonconvex Optimization" (2021),
https://arxiv.org/abs/1903.01435; from memory, see docs/sources/signs-and-directions.md

    θ_t = β₁ θ_(t-1) + (1 - β₁) g_t;   v_t = β₂ v_(t-1) + (1 - β₂) (g_t - m_t)²;   v̂ = max(v̂, v_t)
    w̃_(t+1) = w̃_t - η θ_t / √v̂
    w_(t+1) = w̃_(t+1) - η h_(t+1) / √v̂,   h_(t+1) = β₁ θ_(t-1) + (1 - β₁) m_(t+1)

m_(t+1) comes of the last r + 1 gradients by regularized minimal polynomial extrapolation, tensor by tensor; the last
gradient until there are so many, or for r = 0. The library keeps w only, and not w̃.
"""

from __future__ import annotations

import torch
from torch import Tensor


def guess(seen: list[Tensor], span: int, damp: float) -> Tensor:
    if span == 0 or len(seen) <= span:
        return seen[-1]
    last = torch.stack([x.flatten() for x in seen[-span - 1 :]])
    moves = (last[1:] - last[:-1]).T
    z = torch.linalg.solve(
        moves.T @ moves + damp * torch.eye(span, dtype=moves.dtype), torch.ones(span).to(moves)
    )
    c = z / z.sum()
    return (c @ last[1:]).reshape(seen[-1].shape)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    span: int = 5,
    damp: float = 1e-3,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        hidden = w
        theta, v, largest, m = (torch.zeros_like(w) for _ in range(4))
        seen: list[Tensor] = []
        for step in grads:
            g = step[i] + weight_decay * w
            seen.append(g)
            before, theta = theta, beta1 * theta + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (g - m) ** 2
            largest = torch.maximum(largest, v)
            m = guess(seen, span, damp)
            size = largest.sqrt() + eps
            hidden = hidden - lr * theta / size
            w = hidden - lr * (beta1 * before + (1 - beta1) * m) / size
        final.append(w)
    return final
