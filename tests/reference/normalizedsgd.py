"""Normalized SGD with momentum, and powers of the norm.

Sources: Chen, Zhou, Liang and Lu, "Generalized-Smooth Nonconvex Optimization is As Efficient As Smooth Nonconvex
Optimization" (2023), https://arxiv.org/abs/2303.02854 (the power β, from memory); Cutkosky and Mehta, "Momentum
Improves Normalized SGD" (2020), https://arxiv.org/abs/2002.03305 (the average in front)

    m ← μ m + (1 - μ) g        w ← w - η (m / ‖m‖^β + λ w)        the norm over all parameters
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(hyper={"power": 0.7})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, momentum: float = 0.9, power: float = 1.0,
    weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    m = [torch.zeros_like(w) for w in params]
    for row in grads:
        m = [momentum * x + (1 - momentum) * g for x, g in zip(m, row)]
        size = float(sum((x**2).sum() for x in m)) ** 0.5
        params = [w - lr * (x / size**power + weight_decay * w) for w, x in zip(params, m)]
    return params
