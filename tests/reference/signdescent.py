"""Steepest descent in the largest-entry norm: w ← w - η (‖g‖₁ sign g + λ w), tensor by tensor.

Source: Bernstein and Newhouse, "Old Optimizer, New Norm: An Anthology" (2024), https://arxiv.org/abs/2409.20325
"""

from __future__ import annotations

from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, weight_decay: float = 0.0
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        for step in grads:
            w = w - lr * (step[i].abs().sum() * step[i].sign() + weight_decay * w)
        final.append(w)
    return final
