"""Lion: the sign of an interpolated momentum.

Source: Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023), https://arxiv.org/abs/2302.06675;
authors' code https://github.com/google/automl/tree/master/lion

    w ← (1 - η λ) w - η sign(β₁ m + (1 - β₁) g)
    m ← β₂ m + (1 - β₂) g

Paper and authors' code agree; sign(0) = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # steps of one size


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for step in grads:
            g = step[i]
            w = (1 - lr * weight_decay) * w - lr * (beta1 * m + (1 - beta1) * g).sign()
            m = beta2 * m + (1 - beta2) * g
        final.append(w)
    return final
