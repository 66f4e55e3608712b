"""QHM: the average of a gradient step and a momentum step.

Source: Ma and Yarats, "Quasi-hyperbolic momentum and Adam for deep learning" (2019), https://arxiv.org/abs/1810.06801

    g ← g + λ w                               m ← β m + (1 - β) g
    w ← w - η [(1 - ν) g + ν m]
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1.0,
    momentum: float = 0.999,
    nu: float = 0.7,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for step in grads:
            g = step[i] if decoupled_weight_decay else step[i] + weight_decay * w
            if decoupled_weight_decay:
                w = (1 - lr * weight_decay) * w
            m = momentum * m + (1 - momentum) * g
            w = w - lr * ((1 - nu) * g + nu * m)
        final.append(w)
    return final
