"""MARS-Shampoo: Muon's step from the average of corrected, clipped gradients.

Source: Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models" (2024),
https://arxiv.org/abs/2411.10438; authors' code https://github.com/AGI-Arena/MARS

    m ← β₁ m + (1 - β₁) c                w ← w - η (√max(1, rows / columns) quintic(m) + λ w)

Theirs orthogonalizes m / (1 - β₁), in bf16: the same but for the 1e-8 beside the norm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.marsadamw import corrected
from reference.scion import quintic

SMOOTH = False  # steps of one size

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8)], tolerance=1e-9)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 3e-3,
    beta1: float = 0.95,
    weight_decay: float = 0.0,
    gamma: float = 0.025,
    ns_steps: int = 5,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m, aspect = torch.zeros_like(w), max(1.0, w.shape[0] / w.shape[1]) ** 0.5
        for c in corrected(grads, i, gamma, beta1):
            m = beta1 * m + (1 - beta1) * c
            w = w - lr * (aspect * quintic(m, ns_steps) + weight_decay * w)
        final.append(w)
    return final
