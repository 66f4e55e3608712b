"""MARS-M: Muon with Moonshot's step length from the average of corrected, clipped gradients.

Source: Liu, Yuan and Gu, "MARS-M: When Variance Reduction Meets Matrices" (2025), https://arxiv.org/abs/2510.21800;
authors' code https://github.com/AGI-Arena/MARS/tree/main/MARS_M

    m ← μ m + (1 - μ) c                  w ← (1 - η λ) w - 0.2 η √max(rows, columns) quintic(m)

The correction is MARS's with μ in the place of β₁.
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
    lr: float = 1e-3,
    momentum: float = 0.95,
    weight_decay: float = 0.1,
    gamma: float = 0.025,
    ns_steps: int = 5,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m, length = torch.zeros_like(w), 0.2 * max(w.shape) ** 0.5
        for c in corrected(grads, i, gamma, momentum):
            m = momentum * m + (1 - momentum) * c
            w = (1 - lr * weight_decay) * w - lr * length * quintic(m, ns_steps)
        final.append(w)
    return final
