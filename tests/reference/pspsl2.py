"""PSPS with a slack, penalized by its square.

Source: Abdukhakimov, Xiang, Kamzolov and Takáč, "Stochastic Gradient Descent with Preconditioned Polyak Step-size"
(2023), https://arxiv.org/abs/2310.02093; authors' code https://github.com/fxrshed/ScaledSPS

    D = Σ βᵃᵍᵉ z ⊙ ∇²f z / Σ βᵃᵍᵉ over random signs z;   B = max(|D|, α)
    λ̂ = 1 / (1 + λ);   γ = max(0, f - λ̂s) / (gᵀB⁻¹g + λ̂);   w ← w - ηγB⁻¹g;   s ← λ̂ (s + γ)

The z are given. (The authors' code starts D from the mean of 100 products and adds (1 - β) of each to it.) Products are
by double backward; the library's are by differences.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-6
CASES = [{"alpha": 0.9, "penalty": 0.3}]


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
    penalty: float = 0.01,
    hessian_every: int = 1,
) -> list[Tensor]:
    total, weight = [torch.zeros_like(w) for w in params], 0.0
    s, hat = 0.0, 1 / (1 + penalty)
    for t in range(1, steps + 1):
        z = [n.sign() for n in draws(t)]
        value, grads, hz = products(loss, params, z)
        if (t - 1) % hessian_every == 0:
            total = [beta * d + s * h for d, s, h in zip(total, z, hz)]
            weight = beta * weight + 1
        scaled = [g / (d / weight).abs().clamp(min=alpha) for g, d in zip(grads, total)]
        slope = sum((g * u).sum() for g, u in zip(grads, scaled))
        step = max(0.0, value - hat * s) / (slope + hat)
        s = hat * (s + step)
        params = [w - lr * step * u for w, u in zip(params, scaled)]
    return params
