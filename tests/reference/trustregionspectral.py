"""The least of ⟨m, x⟩ where no singular value of x - (1 - η λ) w is larger than η: w ← (1 - η λ) w - η U Vᵀ.

Source: Kovalev, "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region
Optimization" (2025), https://arxiv.org/abs/2503.12645

U Vᵀ by the singular value decomposition; the library's iterates to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # steps of one size

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8)], tolerance=1e-6, hyper={"ns_steps": 12})


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.02,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    ns_steps: int = 8,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for step in grads:
            m = momentum * m + (1 - momentum) * step[i]
            u, _, v = torch.linalg.svd(m, full_matrices=False)
            w = (1 - lr * weight_decay) * w - lr * u @ v
        final.append(w)
    return final
