"""Sophia-G: momentum over the Gauss-Newton diagonal, estimated from labels that the model draws.

Source: Liu, Li, Hall, Liang and Ma, "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model
Pre-training" (2023), https://arxiv.org/abs/2305.14342, algorithms 2 and 3, on softmax regression:

    W [k, d], a batch x [n, d] with labels y;  P = softmax(x Wᵀ);  G(y) = (P - onehot(y))ᵀ x / n
    m ← β₁ m + (1 - β₁) G(y)
    t mod k = 1:  ŷᵢ = argmaxⱼ (log Pᵢⱼ + a Gumbel number);   h ← β₂ h + (1 - β₂) B G(ŷ)²
    W ← (1 - η λ) W;    W ← W - η clip(m / max(γ h, ε), 1)

The argmax is a draw from P. γ is called `rho` and the number of labels B `bs`, as in the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    W: Tensor,
    batches: list[tuple[Tensor, Tensor, Tensor]],
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.965, 0.99),
    rho: float = 0.04,
    eps: float = 1e-15,
    weight_decay: float = 0.1,
    update_each: int = 10,
    bs: float = 5120.0,
) -> Tensor:
    """The weights after a step on each batch (inputs, labels, Gumbel numbers [n, k])."""
    m, h = torch.zeros_like(W), torch.zeros_like(W)
    for t, (x, y, gumbel) in enumerate(batches, 1):
        P = torch.softmax(x @ W.T, dim=1)

        def slope(labels: Tensor, P: Tensor = P, x: Tensor = x) -> Tensor:
            return (P - torch.eye(P.shape[1], dtype=P.dtype)[labels]).T @ x / len(x)

        m = betas[0] * m + (1 - betas[0]) * slope(y)
        if t % update_each == 1:
            drawn = (P.log() + gumbel).argmax(1)
            h = betas[1] * h + (1 - betas[1]) * bs * slope(drawn).square()
        W = (1 - lr * weight_decay) * W
        W = W - lr * (m / (rho * h).clamp(min=eps)).clamp(min=-1, max=1)
    return W
