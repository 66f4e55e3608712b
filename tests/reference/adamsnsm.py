"""AdamSNSM: Adam with one step size for each subset and momentum in a subspace only.

Source: Nguyen and Nguyen, "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced
Training with Convergence Guarantees" (2024), https://arxiv.org/abs/2411.07120; authors' code
https://github.com/timmytonga/sn-sm

With P the projector on the r leading singular directions of g at the steps 1, 1 + T, … on the shorter side of g
(from the left where g is wide, from the right else), kept as a square matrix here, and M the momentum as a matrix of
the weights' own shape:

    at those steps  M ← 0;         M ← β₁ M + (1 - β₁) P g;   u = M + (g - P g)
    v as in AdamSN;                w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) u / (√v + ε);   w ← (1 - η λ) w

A vector has all its momentum.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(
    shapes=[(6, 6), (5, 8), (8, 5), (2, 7), (4,), ()],
    tolerance=1e-10,
    hyper={"rank": 3, "update_proj_gap": 7},
)


def sums(x: Tensor) -> Tensor:
    if x.ndim < 2:
        return x
    return x.sum(1 if x.shape[0] >= x.shape[1] else 0, keepdim=True).expand_as(x)


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6, weight_decay: float = 0.0, rank: int = 128, update_proj_gap: int = 200,
    correct_bias: bool = True,
) -> list[Tensor]:  # fmt: skip
    b1, b2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        left = right = None
        for t, step in enumerate(grads, start=1):
            g = inside = step[i]
            if w.ndim == 2 and (t - 1) % update_proj_gap == 0:
                u, _, vt = torch.linalg.svd(g, full_matrices=False)
                wide = w.shape[0] < w.shape[1]
                left, right = (u[:, :rank] @ u[:, :rank].T, None) if wide else (None, vt[:rank].T @ vt[:rank])
                m = torch.zeros_like(w)
            if w.ndim == 2:
                inside = left @ g if left is not None else g @ right
            m = b1 * m + (1 - b1) * inside
            v = b2 * v + (1 - b2) * sums(g**2)
            rate = lr * (1 - b2**t) ** 0.5 / (1 - b1**t) if correct_bias else lr
            w = (w - rate * (m + g - inside) / (v.sqrt() + eps)) * (1 - lr * weight_decay)
        final.append(w)
    return final
