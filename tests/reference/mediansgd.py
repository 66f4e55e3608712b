"""MedianSGD: SGD along a running median of the gradients.

Source: Schaipp et al., "SGD with Clipping is Secretly Estimating the Median Gradient" (2024),
https://arxiv.org/abs/2402.12828; no code was found

Each step moves m to argmin_x ‖x - g‖ + ‖x - m‖² / 2τ, written here as what that minimizer is: with the gap h = g - m,

    m ← g where ‖h‖ ≤ τ, else m + τ h / ‖h‖        w ← w - η (m + λ w)

The norm is that of all parameters; with `coordinates` the same holds of every entry by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(hyper={"radius": 4.0})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, radius: float = 0.1,
    coordinates: bool = False, weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    m = [torch.zeros_like(w) for w in params]
    for row in grads:
        gaps = [g - x for g, x in zip(row, m)]
        if coordinates:
            m = [x + h.clamp(-radius, radius) for x, h in zip(m, gaps)]
        else:
            size = float(sum((h**2).sum() for h in gaps)) ** 0.5
            m = [g if size <= radius else x + radius * h / size for g, x, h in zip(row, m, gaps)]
        params = [w - lr * (x + weight_decay * w) for w, x in zip(params, m)]
    return params
