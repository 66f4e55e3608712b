"""Lion-𝒦: Lion with the gradient of a convex function K in the place of the sign.

Source: Chen, Liu, Liang and Liu, "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts" (2023),
https://arxiv.org/abs/2310.05898

    x ← (1 - η λ) x - η ∇K(β₁ m + (1 - β₁) g);   m ← β₂ m + (1 - β₂) g

`SLOPES` are the ∇K, each from K by its definition; a vector is a matrix of one row. The default is Lion.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # steps of one size


def spectral(u: Tensor, width: float) -> Tensor:
    left, _, right = torch.linalg.svd(
        u.reshape(len(u), -1) if u.dim() > 1 else u.reshape(1, -1), full_matrices=False
    )
    return (left @ right).reshape(u.shape)


def group(u: Tensor, width: float) -> Tensor:
    rows = u.reshape(len(u), -1) if u.dim() > 1 else u.reshape(1, -1)
    return torch.stack([row / row.norm() for row in rows]).reshape(u.shape)


SLOPES = {
    "sign": lambda u, width: u.sign(),
    "sparse": lambda u, width: u.sign() * (u.abs() > width),
    "huber": lambda u, width: torch.minimum(
        torch.maximum(u / width, -torch.ones_like(u)), torch.ones_like(u)
    ),
    "entropy": lambda u, width: (2 * u / width).sigmoid() * 2 - 1,
    "l2": lambda u, width: u / u.pow(2).sum().sqrt(),
    "group": group,
    "spectral": spectral,
}


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    kappa: str = "sign",
    width: float = 1e-3,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, x in enumerate(params):
        m = torch.zeros_like(x)
        for step in grads:
            g = step[i]
            x = (1 - lr * weight_decay) * x - lr * SLOPES[kappa](beta1 * m + (1 - beta1) * g, width)
            m = beta2 * m + (1 - beta2) * g
        final.append(x)
    return final
