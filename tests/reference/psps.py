"""PSPS: SGD with Polyak's step in the metric of the Hessian's diagonal.

Source: Abdukhakimov, Xiang, Kamzolov and Takáč, "Stochastic Gradient Descent with Preconditioned Polyak Step-size"
(2023), https://arxiv.org/abs/2310.02093; authors' code https://github.com/fxrshed/ScaledSPS

    D = Σ βᵃᵍᵉ z ⊙ ∇²f z / Σ βᵃᵍᵉ over random signs z;   B = max(|D|, α)
    γ = (f - f*) / gᵀB⁻¹g;   w ← w - η min(γ, γ_max) B⁻¹g

The z are given. (The authors' code starts D from the mean of 100 products and adds (1 - β) of each to it.) Products are
by double backward; the library's are by differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-6
CASES = [
    {"f_star": 0.1, "alpha": 0.5, "max_step": 0.5},
    {"lr": 0.3, "hessian_every": 3, "beta": 0.9, "alpha": 0.9},
]


def products(
    loss: Callable[[list[Tensor]], Tensor], params: list[Tensor], z: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    value = loss(leaves)
    grads = torch.autograd.grad(value, leaves, create_graph=True)
    along = sum((g * s).sum() for g, s in zip(grads, z))
    return value.detach(), [g.detach() for g in grads], list(torch.autograd.grad(along, leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    draws: Callable[[int], list[Tensor]],
    lr: float = 1.0,
    beta: float = 0.999,
    alpha: float = 0.1,
    f_star: float = 0.0,
    max_step: float = math.inf,
    hessian_every: int = 1,
) -> list[Tensor]:
    total, weight = [torch.zeros_like(w) for w in params], 0.0
    for t in range(1, steps + 1):
        z = [n.sign() for n in draws(t)]
        value, grads, hz = products(loss, params, z)
        if (t - 1) % hessian_every == 0:
            total = [beta * d + s * h for d, s, h in zip(total, z, hz)]
            weight = beta * weight + 1
        scaled = [g / (d / weight).abs().clamp(min=alpha) for g, d in zip(grads, total)]
        slope = sum((g * u).sum() for g, u in zip(grads, scaled))
        step = min((value - f_star) / slope, max_step)
        params = [w - lr * step * u for w, u in zip(params, scaled)]
    return params
