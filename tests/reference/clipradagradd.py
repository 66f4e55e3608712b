"""Clip-RAdaGradD: clipped AdaGrad with a weighted sum, and a rate that lags one gradient behind.

Source: Chezhegov et al., "Gradient Clipping Improves AdaGrad when the Noise Is Heavy-Tailed" (2024),
https://arxiv.org/abs/2406.04443; authors' code https://github.com/Andron00e/Clipped-AdaGrad-and-Adam, the notebook on
quadratics (there η = lr²)

    ĝ = g min(1, c / ‖g‖), the norm over all parameters
    w ← w - γ ĝ / b_t        b_{t+1}² = b_t² + η ‖ĝ‖²        b_1² = `initial_accumulator_value`

With `coordinates` each entry has its own sum s of ηĝ², and is divided by √s + ε. The decay follows the step.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(hyper={"eta": 0.3, "initial_accumulator_value": 0.04, "max_norm": 7.0})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, max_norm: float = 1.0, eta: float = 1.0,
    initial_accumulator_value: float = 1e-4, coordinates: bool = False, eps: float = 1e-10, weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    one = initial_accumulator_value
    each = [torch.full_like(w, initial_accumulator_value) for w in params]
    for row in grads:
        size = float(sum((g**2).sum() for g in row)) ** 0.5
        row = [g * min(1.0, max_norm / size) for g in row]
        rates = [s.sqrt() + eps for s in each] if coordinates else [one**0.5] * len(row)
        params = [(w - lr * g / b) * (1 - lr * weight_decay) for w, g, b in zip(params, row, rates)]
        one = one + eta * float(sum((g**2).sum() for g in row))
        each = [s + eta * g**2 for s, g in zip(each, row)]
    return params
