"""AdamSN: Adam with one step size for each subset of a matrix.

Source: Nguyen and Nguyen, "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced
Training with Convergence Guarantees" (2024), https://arxiv.org/abs/2411.07120; authors' code
https://github.com/timmytonga/sn-sm, which this file follows (subsets by its heuristics)

    m ← β₁ m + (1 - β₁) g            v_s ← β₂ v_s + (1 - β₂) Σ over the subset s of g²
    w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) m / (√v_s + ε);   w ← (1 - η λ) w

The subsets of a matrix with m ≥ n are its rows, else its columns; a vector's are single entries.
"""

from __future__ import annotations

import torch
from torch import Tensor


def subset_sums(x: Tensor) -> Tensor:
    """The sum over its subset, for every entry."""
    if x.ndim < 2:
        return x
    sums = torch.zeros_like(x)
    if x.shape[0] >= x.shape[1]:
        for k in range(x.shape[0]):
            sums[k, :] = x[k, :].sum()
    else:
        for k in range(x.shape[1]):
            sums[:, k] = x[:, k].sum()
    return sums


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6, weight_decay: float = 0.0, correct_bias: bool = True,
) -> list[Tensor]:  # fmt: skip
    b1, b2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * subset_sums(g**2)
            rate = lr * (1 - b2**t) ** 0.5 / (1 - b1**t) if correct_bias else lr
            w = (w - rate * m / (v.sqrt() + eps)) * (1 - lr * weight_decay)
        final.append(w)
    return final
