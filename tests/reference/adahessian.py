"""AdaHessian: Adam with Hutchinson's estimate of the Hessian's diagonal as second moment.

Source: Yao, Gholami, Shen, Mustafa, Keutzer and Mahoney, "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine
Learning" (2021), https://arxiv.org/abs/2006.00719; authors' code https://github.com/amirgholami/adahessian

    D = z ⊙ ∇²f(w) z, z random signs; of a convolution's kernels the mean of |D|
    m ← β₁ m + (1 - β₁) g;    v ← β₂ v + (1 - β₂) D²
    w ← w - η (m̂ / ((√v̂)^k + ε) + λ w)

The z are given. The paper's other Hessian frequencies: D every `update_each` steps, v debiased by how many there were.
The library's products are by differences (to 1e-9 here), these by double backward.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-6
CASES = [
    {"lr": 0.05},
    {"lr": 0.02, "hessian_power": 0.5, "weight_decay": 0.1, "update_each": 3},
]


def products(
    loss: Callable[[list[Tensor]], Tensor], params: list[Tensor], z: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    grads = torch.autograd.grad(loss(leaves), leaves, create_graph=True)
    along = sum((g * s).sum() for g, s in zip(grads, z))
    return [g.detach() for g in grads], list(torch.autograd.grad(along, leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    draws: Callable[[int], list[Tensor]],
    lr: float = 0.15,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-4,
    weight_decay: float = 0.0,
    hessian_power: float = 1.0,
    update_each: int = 1,
) -> list[Tensor]:
    beta1, beta2 = betas
    m = [torch.zeros_like(w) for w in params]
    v = [torch.zeros_like(w) for w in params]
    seen = 0
    for t in range(1, steps + 1):
        z = [n.sign() for n in draws(t)]
        grads, hz = products(loss, params, z)
        if (t - 1) % update_each == 0:
            seen += 1
            for i, (h, s) in enumerate(zip(hz, z)):
                diagonal = h * s
                if h.dim() > 2:
                    diagonal = diagonal.abs().mean(dim=tuple(range(2, h.dim())), keepdim=True)
                v[i] = beta2 * v[i] + (1 - beta2) * diagonal**2
        m = [beta1 * a + (1 - beta1) * g for a, g in zip(m, grads)]
        new = []
        for w, a, b in zip(params, m, v):
            scale = (b / (1 - beta2**seen)).sqrt() ** hessian_power + eps
            new.append(w - lr * (a / (1 - beta1**t) / scale + weight_decay * w))
        params = new
    return params
