"""MARS-Lion: the sign of the average of corrected, clipped gradients.

Source: Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models" (2024),
https://arxiv.org/abs/2411.10438; authors' code https://github.com/AGI-Arena/MARS

    m ← β₁ m + (1 - β₁) c                w ← w - η (sign m + λ w)
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.marsadamw import corrected

SMOOTH = False  # steps of one size


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-4,
    beta1: float = 0.95,
    weight_decay: float = 0.0,
    gamma: float = 0.025,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for c in corrected(grads, i, gamma, beta1):
            m = beta1 * m + (1 - beta1) * c
            w = w - lr * (m.sign() + weight_decay * w)
        final.append(w)
    return final
