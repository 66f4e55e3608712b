"""AEPG: preconditioned gradient descent with one energy, here in the metric of Adam's second moment.

Source: Liu, Nurbekyan, Tian and Yang, "Adaptive Preconditioned Gradient Descent with Energy" (2023),
https://arxiv.org/abs/2310.06733

    l = √(f + c),   ∇l = g / (2 l);   s ← β₂ s + (1 - β₂) g²,   A = √(s / (1 - β₂ᵗ)) + ε
    r ← r / (1 + 2 η ∇lᵀ A⁻¹ ∇l), first r = l;   w ← (1 - η λ) w - 2 η r A⁻¹ ∇l
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CASES = [{"lr": 0.5}, {"lr": 5.0, "c": 0.2, "weight_decay": 0.01, "beta2": 0.9}]


def evaluate(loss: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    value = loss(leaves)
    return value.detach(), list(torch.autograd.grad(value, leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 0.1,
    beta2: float = 0.999,
    eps: float = 1e-8,
    c: float = 1.0,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    second, r = [torch.zeros_like(w) for w in params], None
    for t in range(1, steps + 1):
        value, grads = evaluate(loss, params)
        root = (value + c) ** 0.5
        r = root if r is None else r
        second = [beta2 * s + (1 - beta2) * g**2 for s, g in zip(second, grads)]
        slopes = [g / (2 * root) for g in grads]
        scaled = [v / ((s / (1 - beta2**t)) ** 0.5 + eps) for v, s in zip(slopes, second)]
        r = r / (1 + 2 * lr * sum((v * u).sum() for v, u in zip(slopes, scaled)))
        params = [(1 - lr * weight_decay) * w - 2 * lr * r * u for w, u in zip(params, scaled)]
    return params
