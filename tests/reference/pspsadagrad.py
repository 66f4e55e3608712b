"""PSPS in the metric of AdaGrad's sums of squares.

Source: Abdukhakimov, Xiang, Kamzolov and Takáč, "Stochastic Gradient Descent with Preconditioned Polyak Step-size"
(2023), https://arxiv.org/abs/2310.02093; authors' code https://github.com/fxrshed/ScaledSPS

    S ← S + g²;   B = √S + ε
    γ = (f - f*) / gᵀB⁻¹g;   w ← w - η min(γ, γ_max) B⁻¹g
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-9
CASES = [{"f_star": 0.2}, {"lr": 0.3, "max_step": 0.02}]


def evaluate(loss: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    value = loss(leaves)
    return value.detach(), list(torch.autograd.grad(value, leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1.0,
    eps: float = 1e-10,
    f_star: float = 0.0,
    max_step: float = math.inf,
) -> list[Tensor]:
    total = [torch.zeros_like(w) for w in params]
    for _ in range(steps):
        value, grads = evaluate(loss, params)
        total = [a + g**2 for a, g in zip(total, grads)]
        scaled = [g / (a.sqrt() + eps) for g, a in zip(grads, total)]
        slope = sum((g * u).sum() for g, u in zip(grads, scaled))
        step = min((value - f_star) / slope, max_step)
        params = [w - lr * step * u for w, u in zip(params, scaled)]
    return params
