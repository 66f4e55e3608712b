"""Gravity: a slope that is damped where it is steep, averaged.

Source: Bahrami and Pouriyan Zadeh, "Gravity Optimizer: a Kinematic Approach on Optimization in Deep Learning" (2021),
https://arxiv.org/abs/2101.09192; authors' code https://github.com/dariush-bahrami/gravity.optimizer (PyTorch)

    m = 1 / max|g|;   ζ = g / (1 + (g/m)²)
    V ← β̂ V + (1 - β̂) ζ,  β̂ = (β t + 1)/(t + 2);   w ← w - η V

V starts at normal numbers of deviation α/η; here at 0, which is α = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = {"hyper": {"alpha": 0.0}}


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.1, alpha: float = 0.0, beta: float = 0.9
) -> list[Tensor]:
    assert alpha == 0
    final = []
    for i, w in enumerate(params):
        velocity = torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = 1 / g.abs().max()
            zeta = g / (1 + (g / m) ** 2)
            hat = (beta * t + 1) / (t + 2)
            velocity = hat * velocity + (1 - hat) * zeta
            w = w - lr * velocity
        final.append(w)
    return final
