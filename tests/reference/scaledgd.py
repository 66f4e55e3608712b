"""ScaledGD(λ): gradient descent on a factor, preconditioned by the factor's own Gram matrix.

Source: Xu, Shen, Chi and Ma, "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing" (2023),
https://arxiv.org/abs/2302.01186

    X ← X - η ∇f(X) (Xᵀ X + λ I)⁻¹

of every matrix X n × r, n ≥ r (r × n transposed; a vector is one column).
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(tolerance=1e-11, hyper={"lr": 0.01, "damp": 0.1})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.3, damp: float = 1e-2
) -> list[Tensor]:
    final = []
    for i, p in enumerate(params):
        wide = p.dim() == 2 and p.shape[0] < p.shape[1]
        x = p.reshape(-1, 1) if p.dim() < 2 else p.T if wide else p
        for row in grads:
            g = row[i].T if wide else row[i].reshape(x.shape)
            x = x - lr * g @ torch.linalg.inv(x.T @ x + damp * torch.eye(x.shape[1], dtype=x.dtype))
        final.append((x.T if wide else x).reshape(p.shape))
    return final
