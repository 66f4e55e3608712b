"""The least of ⟨m, x⟩ + λ₁ ‖x‖₁ where no entry of x - (1 - η λ) w is larger than η.

Source: Kovalev, "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region
Optimization" (2025), https://arxiv.org/abs/2503.12645

Entry by entry a convex piecewise linear function on an interval, whose least value is at an end or at 0 if that lies
inside: the best of these three points is taken here.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # steps of one size

CASE = dict(shapes=[(3, 4), (5,), (2, 3, 2)], tolerance=1e-12, hyper={"l1": 0.2, "lr": 0.05})


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    l1: float = 0.0,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for step in grads:
            m = momentum * m + (1 - momentum) * step[i]
            centre = (1 - lr * weight_decay) * w
            inside = torch.where(centre.abs() <= lr, 0.0, centre - lr)
            points = torch.stack([centre - lr, centre + lr, inside])
            best = (m * points + l1 * points.abs()).argmin(0)
            w = points.gather(0, best.unsqueeze(0))[0]
        final.append(w)
    return final
