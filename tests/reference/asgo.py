"""ASGO: one-sided Shampoo with the whole root on the shorter side.

Source: An et al., "ASGO: Adaptive Structured Gradient Optimization" (2025), https://arxiv.org/abs/2503.20762,
algorithm 2; authors' code https://github.com/infinity-stars/ASGO

    m ← μ m + (1 - μ) g
    V ← β₂ V + (1 - β₂) g gᵀ  (fewer rows than columns)  or  gᵀ g
    u = V^(-1/2) m  or  m V^(-1/2);   u ← 0.2 √(rows · columns) u / ‖u‖_F
    w ← (1 - η λ) w - η u

The root is of V + εI here; the authors' is by Newton-Schulz or Polar Express steps, or without ε.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8)], tolerance=1e-9, hyper={"precondition_frequency": 2})


def inverse_root(v: Tensor, eps: float) -> Tensor:
    values, vectors = torch.linalg.eigh(v + eps * torch.eye(len(v), dtype=v.dtype))
    return vectors @ torch.diag(values**-0.5) @ vectors.T


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-2,
    momentum: float = 0.9,
    beta2: float = 0.8,
    eps: float = 1e-10,
    weight_decay: float = 0.1,
    precondition_frequency: int = 1,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        left = w.shape[0] < w.shape[1]
        m, v, root = torch.zeros_like(w), 0.0, None
        for t, row in enumerate(grads):
            g = row[i]
            m = momentum * m + (1 - momentum) * g
            v = beta2 * v + (1 - beta2) * (g @ g.T if left else g.T @ g)
            if t % precondition_frequency == 0:
                root = inverse_root(v, eps)
            u = root @ m if left else m @ root
            u = 0.2 * w.numel() ** 0.5 * u / u.norm()
            w = (1 - lr * weight_decay) * w - lr * u
        final.append(w)
    return final
