"""AdaGrad (diagonal), as torch.optim.Adagrad defines it.

Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
Optimization" (2011), https://jmlr.org/papers/v12/duchi11a.html

    g ← g + λ w                          s ← s + g²,  s₀ = initial_accumulator_value
    w ← w - η / (1 + (t - 1) ρ) · g / (√s + ε)

Deviation of torch, kept here: the decay ρ of the learning rate, which the paper does not have; the paper's δ
is ε here.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        s = torch.full_like(w, initial_accumulator_value)
        for t, step in enumerate(grads, start=1):
            g = step[i] + weight_decay * w
            s = s + g**2
            w = w - lr / (1 + (t - 1) * lr_decay) * g / (s.sqrt() + eps)
        final.append(w)
    return final
