"""Anolog: Ano with β₁ = 1 - 1/log(t + 2); `ano.py` has the loop."""

from __future__ import annotations

from torch import Tensor

from . import ano


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-4,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    return ano.sequences(params, grads, lr, (0.0, beta2), eps, weight_decay, growing=True)
