"""Signum: the sign of a momentum.

Source: Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems"
(2018), https://arxiv.org/abs/1802.04434, algorithm 2; decay decoupled.

    m ← β m + (1 - β) g;   w ← (1 - η λ) w - η sign(m)
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # steps of one size


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-4,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for step in grads:
            m = momentum * m + (1 - momentum) * step[i]
            w = (1 - lr * weight_decay) * w - lr * m.sign()
        final.append(w)
    return final
