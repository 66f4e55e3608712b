"""⊥AdamW: AdamW on gradients without their part along the weights.

Source: Prieto, Barsbey, Mediano and Birdal, "Grokking at the Edge of Numerical Stability" (2025),
https://arxiv.org/abs/2501.04697; authors' code https://github.com/LucasPrietoAl/grokking-at-the-edge-of-numerical-stability

    g' = g - (wᵀg / wᵀw) w;   in the authors' code then g' ← g' ‖g‖ / ‖g'‖ (`restore`)

On one number g' is 0 but for rounding, whose length is then restored: the shapes here have more.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = {"shapes": [(5, 5), (7, 3), (3, 7), (6,)]}


def across(w: Tensor, g: Tensor, restore: bool) -> Tensor:
    a, b = w.flatten(), g.flatten()
    level = b - torch.dot(a, b) / torch.dot(a, a) * a
    return (level * b.norm() / level.norm() if restore else level).reshape(w.shape)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    restore: bool = True,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = across(w, step[i], restore)
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            u = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)
            w = (1 - lr * weight_decay) * w - lr * u
        final.append(w)
    return final
