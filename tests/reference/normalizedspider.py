"""Normalized SPIDER.

Sources: Fang, Li, Lin and Zhang, "SPIDER: Near-Optimal Non-Convex Optimization via Stochastic Path-Integrated
Differential Estimator" (2018), https://arxiv.org/abs/1807.01695; Chen, Zhou, Liang and Lu, "Generalized-Smooth
Nonconvex Optimization is As Efficient As Smooth Nonconvex Optimization" (2023), https://arxiv.org/abs/2303.02854

    t = 0, q, 2q, …:   v ← ∇f(w)                      else:   v ← v + ∇f(w) - ∇f(w'),  w' the weights before
    w ← w - η (v / ‖v‖ + λ w)                         the norm over all parameters

On a loss that is the same at every step, as here, v is its gradient; on batches that change see `on_batches`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[list[Tensor]], Tensor]
CASES = [{}, {"lr": 0.05, "period": 4, "weight_decay": 0.1}]


def slope(loss: Loss, params: list[Tensor]) -> list[Tensor]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    return list(torch.autograd.grad(loss(leaves), leaves))


def on_batches(
    params: list[Tensor], losses: list[Loss], lr: float = 1e-3, period: int = 20, weight_decay: float = 0.0
) -> list[Tensor]:
    """On the loss of each step."""
    before, v = params, [torch.zeros_like(w) for w in params]
    for t, loss in enumerate(losses):
        here = slope(loss, params)
        if t % period == 0:
            v = here
        else:
            v = [x + g - h for x, g, h in zip(v, here, slope(loss, before))]
        size = float(sum((x**2).sum() for x in v)) ** 0.5
        before, params = params, [w - lr * (x / size + weight_decay * w) for w, x in zip(params, v)]
    return params


def reference(
    params: list[Tensor],
    loss: Loss,
    steps: int,
    lr: float = 1e-3,
    period: int = 20,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    return on_batches(params, [loss] * steps, lr, period, weight_decay)
