"""GaLore: AdamW in the span of a gradient's leading singular vectors.

Source: Zhao et al., "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection" (2024),
https://arxiv.org/abs/2403.03507; authors' code https://github.com/jiaweizzhao/GaLore, which this file follows

With g = U S Vᵀ at the steps 1, 1 + T, 1 + 2T, … and r columns of each:

    m < n:    g' = U_rᵀ g          w ← w - η s c U_r [m' / (√v' + ε)]
    else:     g' = g V_r           w ← w - η s c [m' / (√v' + ε)] V_rᵀ            c = √(1 - β₂ᵗ) / (1 - β₁ᵗ)
    m' ← β₁ m' + (1 - β₁) g';   v' ← β₂ v' + (1 - β₂) g'²    (left as they are when the subspace turns)
    w ← (1 - η λ) w               after the step

What the code calls regular parameters, vectors here, are not projected and not scaled. Paper and code differ in where ε
stands (in the paper as in Adam).
"""

from __future__ import annotations

import torch
from torch import Tensor

# a subspace of the gradients' own dimension has to be found anew all the same
CASE = dict(
    shapes=[(6, 6), (5, 8), (8, 5), (2, 7), (4,), ()],
    tolerance=1e-10,
    hyper={"rank": 3, "update_proj_gap": 7},
)


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6, weight_decay: float = 0.0, rank: int = 128, update_proj_gap: int = 200, scale: float = 0.25,
    correct_bias: bool = True,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m = v = torch.zeros(())
        left = right = None
        for t, row in enumerate(grads, start=1):
            g = row[i]
            if w.ndim == 2 and (t - 1) % update_proj_gap == 0:
                u, _, vt = torch.linalg.svd(g, full_matrices=False)
                left, right = (u[:, :rank], None) if w.shape[0] < w.shape[1] else (None, vt[:rank])
            g = left.T @ g if left is not None else g @ right.T if right is not None else g
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            step = m / (v.sqrt() + eps)
            if correct_bias:
                step = step * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
            if w.ndim == 2:
                step = scale * (left @ step if left is not None else step @ right)
            w = (w - lr * step) * (1 - lr * weight_decay)
        final.append(w)
    return final
