"""A rule that is trusted once its second moment has seen enough."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import transform
from ._numbers import inverse, maximum, sqrt, where


@transform(invariant=("sign",), holds=("rule",))
def rectify(u: Tensor, step: Any, rule: Any, *, beta2: float) -> Tensor:
    """u ← r rule(u) once a second moment averaged with β₂ is worth more than five gradients; u itself before.

    ρ∞ = 2/(1-β₂) - 1;  ρ = ρ∞ - 2tβ₂ᵗ/(1-β₂ᵗ), the length of the average;
    r = √((ρ-4)(ρ-2)ρ∞ / ((ρ∞-4)(ρ∞-2)ρ)), which rises to 1. With β₂ ≤ 2/3 it never begins.

    Reference: "On the Variance of the Adaptive Learning Rate and Beyond", Liyuan Liu, Haoming Jiang, Pengcheng He,
    Weizhu Chen, Xiaodong Liu, Jianfeng Gao, Jiawei Han, 2020, https://arxiv.org/abs/1908.03265
    """
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step * inverse(1 - beta2**step)
    last, now = maximum(longest, 5.0), maximum(length, 5.0)  # below, r is not asked for, but must be a number
    share = (now - 4) * (now - 2) * last / ((last - 4) * (last - 2) * now)
    return where(length > 5, rule(u) * sqrt(share), u)
