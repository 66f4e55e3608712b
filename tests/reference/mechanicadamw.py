"""Mechanic around AdamW.

Source: as in mechanicsgd.py; the base rule is torch's AdamW.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.mechanicsgd import BETAS, tuned

CASE = {"hyper": {"s_init": 1e-2, "s_decay": 0.1}}


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8, weight_decay: float = 0.0, mechanic_betas: tuple[float, ...] = BETAS, s_decay: float = 0.01,
    s_init: float = 1e-8, mechanic_eps: float = 1e-8,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    m, v = torch.zeros(()), torch.zeros(())

    def adamw(x: Tensor, g: Tensor, t: int) -> Tensor:
        nonlocal m, v
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        return -lr * (weight_decay * x + (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps))

    return tuned(adamw, params, grads, mechanic_betas, s_decay, s_init, mechanic_eps)
