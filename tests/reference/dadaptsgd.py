"""SGD with D-Adaptation.

Source: Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation" (2023), https://arxiv.org/abs/2301.07733;
authors' code https://github.com/facebookresearch/dadaptation (dadapt_sgd.py), which this file follows

    λ_k = γ d_k/‖g₀‖;   s_{k+1} = s_k + λ_k g_k
    d̂_{k+1} = 2 Σ λ_i ⟨g_i, s_i⟩ / ‖s_{k+1}‖;   d_{k+1} = max(d_k, d̂_{k+1})
    z_{k+1} = x₀ - s_{k+1};   x_{k+1} = μ x_k + (1-μ) z_{k+1}

There g₀ is without the decay.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMOOTH = False  # its first steps, of 1e-6, are too short for differences: test_parameter_free has longer ones
CASE = {"hyper": {"d0": 1e-2, "momentum": 0.6}}


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, momentum: float = 0.0, weight_decay: float = 0.0,
    d0: float = 1e-6, growth_rate: float = math.inf,
) -> list[Tensor]:  # fmt: skip
    start = torch.cat([p.flatten() for p in params])
    x, s, d, numerator, first = start, torch.zeros_like(start), d0, 0.0, None
    for row in grads:
        g = torch.cat([a.flatten() for a in row]) + weight_decay * x
        first = g.norm() if first is None else first
        rate = lr * d / first
        numerator = numerator + rate * (g @ s)
        s = s + rate * g
        d = max(d, min(2 * numerator / s.norm(), d * growth_rate))
        x = momentum * x + (1 - momentum) * (start - s)
    return [a.view_as(p) for a, p in zip(x.split([p.numel() for p in params]), params)]
