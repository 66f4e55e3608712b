"""Averages that look ahead: the next step's momentum applied today."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, square, transform
from ._numbers import debias, inverse, sqrt, where


@transform(invariant=("sign",), exp_avg=moment, mu_product=scalar(fill=1.0))
def nesterov_average(
    u: Tensor, step: Any, exp_avg: Tensor, mu_product: Tensor, *, beta1: float, momentum_decay: float
) -> Any:
    """m ← β₁m + (1-β₁)u;  u ← (1-μ_t)/(1-Π_t) u + μ_{t+1}/(1-Π_{t+1}) m: the average as it will be used next.

    μ_t = β₁ (1 - ½ 0.96^(tψ)) rises from about half of β₁ to β₁; Π_t is the product of μ_1 to μ_t. As in torch, m
    itself is averaged with β₁.

    Reference: "Incorporating Nesterov Momentum into Adam", Timothy Dozat, 2016,
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """
    now, ahead = (beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in (step, step + 1))
    product = mu_product * now
    m = exp_avg.lerp(u, 1 - beta1)
    return u * ((1 - now) / (1 - product)) + m * (ahead / (1 - product * ahead)), m, product


@transform(invariant=("sign",), exp_avg=moment, exp_avg_diff=moment, exp_avg_sq=square, pre_grad=moment)
def scale_by_adan(
    g: Tensor, step: Any, exp_avg: Tensor, exp_avg_diff: Tensor, exp_avg_sq: Tensor, pre_grad: Tensor, *,
    beta1: float, beta2: float, beta3: float, eps: float,
) -> Any:  # fmt: skip
    """Nesterov's point reached by differences of gradients: d = g - last g, and 0 at the first step.

    m ← β₁m + (1-β₁)g;  z ← β₂z + (1-β₂)d;  n ← β₃n + (1-β₃)(g + β₂d)²;  u = (m̂ + β₂ẑ) / (√n̂ + ε)

    Reference: "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", Xingyu Xie, Pan Zhou,
    Huan Li, Zhouchen Lin, Shuicheng Yan, 2022, https://arxiv.org/abs/2208.06677
    """
    change = where(step == 1, torch.zeros_like(g), g - pre_grad)
    m, z = exp_avg.lerp(g, 1 - beta1), exp_avg_diff.lerp(change, 1 - beta2)
    n = exp_avg_sq.lerp((g + beta2 * change).square(), 1 - beta3)
    ahead = debias(m, beta1, step) + beta2 * debias(z, beta2, step)
    return ahead / (n.sqrt() * inverse(sqrt(1 - beta3**step)) + eps), m, z, n, g


@transform(room="delta")
def decay_by_prox(u: Tensor, param: Tensor, *, lr: float, weight_decay: float) -> Tensor:
    """p + δ ← (p + δ) / (1 + ηλ): the proximal step of λ‖p‖²/2, which no rate makes overshoot.

    Reference: "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", Xingyu Xie, Pan Zhou,
    Huan Li, Zhouchen Lin, Shuicheng Yan, 2022, https://arxiv.org/abs/2208.06677
    """
    decay = lr * weight_decay
    return (u - decay * param) * inverse(1 + decay)
