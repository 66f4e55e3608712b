"""AEGD: gradient descent with an energy for every weight.

Source: Liu and Tian, "AEGD: Adaptive Gradient Descent with Energy" (2020), https://arxiv.org/abs/2010.05109; authors'
code https://github.com/txping/AEGD

    l = √(f + c),   v = g / (2 l);   r ← r / (1 + 2 η v²), first r = l;   w ← (1 - η λ) w - 2 η r v

Decay as with `aegdw=True`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CASES = [{"lr": 0.5}, {"lr": 5.0, "c": 0.2, "weight_decay": 0.01}]


def evaluate(loss: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    value = loss(leaves)
    return value.detach(), list(torch.autograd.grad(value, leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 0.1,
    c: float = 1.0,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    energy: list[Tensor] = []
    for _ in range(steps):
        value, grads = evaluate(loss, params)
        root = (value + c) ** 0.5
        if not energy:
            energy = [torch.full_like(w, float(root)) for w in params]
        vs = [g / (2 * root) for g in grads]
        energy = [r / (1 + 2 * lr * v**2) for r, v in zip(energy, vs)]
        params = [(1 - lr * weight_decay) * w - 2 * lr * r * v for w, r, v in zip(params, energy, vs)]
    return params
