"""AdamW: Adam with the decay applied to the weights, not through the gradient.

Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019),
https://arxiv.org/abs/1711.05101

    m ← β₁ m + (1 - β₁) g                v ← β₂ v + (1 - β₂) g²
    w ← (1 - η λ) w - η m̂ / (√v̂ + ε)

Deviation of torch, kept here: the decay is multiplied by the learning rate η. In the paper's algorithm 2 the
learning rate α and the schedule multiplier ηₜ are two things and only the latter scales the decay:
w ← w - ηₜ (α m̂ / (√v̂ + ε) + λ w). `fully_decoupled=True` selects that, with the multiplier at 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    fully_decoupled: bool = False,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            decay = weight_decay if fully_decoupled else lr * weight_decay
            w = (1 - decay) * w - lr * m_hat / (v_hat.sqrt() + eps)
        final.append(w)
    return final
