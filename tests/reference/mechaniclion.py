"""Mechanic around Lion.

Source: as in mechanicsgd.py; the base rule is Lion's (see lion.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.mechanicsgd import BETAS, tuned

SMOOTH = False  # steps of one size
CASE = {"hyper": {"s_init": 1e-2, "s_decay": 0.1}}


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0, mechanic_betas: tuple[float, ...] = BETAS, s_decay: float = 0.01, s_init: float = 1e-8,
    mechanic_eps: float = 1e-8,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    m = torch.zeros(())

    def lion(x: Tensor, g: Tensor, t: int) -> Tensor:
        nonlocal m
        u = (beta1 * m + (1 - beta1) * g).sign()
        m = beta2 * m + (1 - beta2) * g
        return -lr * (u + weight_decay * x)

    return tuned(lion, params, grads, mechanic_betas, s_decay, s_init, mechanic_eps)
