"""Clipped SGD.

Source: Sadiev et al., "High-Probability Bounds for Stochastic Optimization and Variational Inequalities: the Case of
Unbounded Variance" (2023), https://arxiv.org/abs/2302.00999

    b ← μ b + g min(1, c / ‖g‖)        w ← w - η (b + λ w)        the norm over all parameters

Momentum and decay are the library's.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(hyper={"max_norm": 8.0, "momentum": 0.5})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, max_norm: float = 1.0, momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    b = [torch.zeros_like(w) for w in params]
    for row in grads:
        scale = min(1.0, max_norm / float(sum((g**2).sum() for g in row)) ** 0.5)
        b = [momentum * x + scale * g for x, g in zip(b, row)]
        params = [w - lr * (x + weight_decay * w) for w, x in zip(params, b)]
    return params
