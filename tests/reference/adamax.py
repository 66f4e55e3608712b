"""AdaMax: Adam with the infinity norm in place of the second moment.

Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), https://arxiv.org/abs/1412.6980,
algorithm 2

    g ← g + λ w                          m ← β₁ m + (1 - β₁) g
    u ← max(β₂ u, |g| + ε)               `form="torch"` (default), torch.optim.Adamax
    u ← max(β₂ u, |g|)                   `form="paper"`: no ε; where u is 0 the step is 0
    w ← w - η / (1 - β₁ᵗ) · m / u

Deviation worth knowing: torch's ε stands inside the maximum, so it is remembered; TensorFlow and optax add it
outside.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    form: str = "torch",
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, u = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i] + weight_decay * w
            m = beta1 * m + (1 - beta1) * g
            u = torch.maximum(beta2 * u, g.abs() + (eps if form == "torch" else 0.0))
            ratio = torch.where(u > 0, m / u.clamp(min=torch.finfo(u.dtype).tiny), 0.0)
            w = w - lr / (1 - beta1**t) * ratio
        final.append(w)
    return final
