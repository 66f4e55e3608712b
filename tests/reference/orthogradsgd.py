"""⊥SGD: SGD on gradients without their part along the weights. Source: as `orthogradadamw.py`."""

from __future__ import annotations

from torch import Tensor

from .orthogradadamw import CASE as CASE
from .orthogradadamw import across


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    restore: bool = True,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        b = None
        for step in grads:
            g = across(w, step[i], restore) + weight_decay * w
            b = g if b is None else momentum * b + g
            w = w - lr * (g + momentum * b if nesterov else b if momentum else g)
        final.append(w)
    return final
