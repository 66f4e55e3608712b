"""AdaGradSN: AdaGrad with one step size for each subset of a matrix.

Source: Nguyen and Nguyen, "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced
Training with Convergence Guarantees" (2024), https://arxiv.org/abs/2411.07120; authors' code
https://github.com/timmytonga/sn-sm, which this file follows (its momentum, ε and decay)

    s ← s + Σ over the subset of g²            m ← μ m + (1 - μ) g
    w ← w - η m / (√s + ε);   w ← (1 - η λ) w

The subsets of a matrix with m ≥ n are its rows, else its columns; a vector's are single entries.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, momentum: float = 0.9, eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    final = []
    for i, w in enumerate(params):
        m, s = torch.zeros_like(w), torch.zeros_like(w)
        for step in grads:
            g = step[i]
            if g.ndim == 2:
                s = s + (g**2).sum(1 if g.shape[0] >= g.shape[1] else 0, keepdim=True)
            else:
                s = s + g**2
            m = momentum * m + (1 - momentum) * g
            w = (w - lr * m / (s.sqrt() + eps)) * (1 - lr * weight_decay)
        final.append(w)
    return final
