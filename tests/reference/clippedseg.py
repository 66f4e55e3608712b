"""clipped-SEG: stochastic extragradient with both slopes clipped.

Source: Gorbunov et al., "Clipped Stochastic Methods for Variational Inequalities with Heavy-Tailed Noise" (2022),
https://arxiv.org/abs/2206.01095, and Sadiev et al. (2023), https://arxiv.org/abs/2302.00999; from memory, not verified

    w̃ = w - κη clip(F(w), c)        w ← w - η clip(F(w̃), c)        clip(g, c) = g min(1, c / ‖g‖)

the norm over all parameters, F the gradient of the given loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CASES = [{}, {"lr": 0.3, "max_norm": 0.2, "ahead": 2.0}]


def clipped(loss: Callable[[list[Tensor]], Tensor], params: list[Tensor], c: float) -> list[Tensor]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    grads = torch.autograd.grad(loss(leaves), leaves)
    size = float(sum((g**2).sum() for g in grads)) ** 0.5
    return [g * min(1.0, c / size) for g in grads]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1e-2,
    max_norm: float = 1.0,
    ahead: float = 1.0,
) -> list[Tensor]:
    for _ in range(steps):
        away = [w - ahead * lr * g for w, g in zip(params, clipped(loss, params, max_norm))]
        params = [w - lr * g for w, g in zip(params, clipped(loss, away, max_norm))]
    return params
