"""Gradients corrected by what the gradient was before, so that their average is less noisy than an average."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, total, transform


@transform(invariant=("sign",), last_grad=moment)
def correct_by_last_gradient(g: Tensor, last_grad: Tensor, *, gamma: float, beta1: float) -> Any:
    """c = g + γ β₁/(1-β₁) (g - h), h the gradient of the step before (0 at the first, as in the authors' code).

    In front of a rule that averages by β₁. MARS's approximate form: h was taken at the weights *and* on the batch of
    the step before. ``oracles.recursive`` evaluates the old weights on today's batch, at the price of a second
    evaluation. The authors' γ is 0.025.

    Reference: "MARS: Unleashing the Power of Variance Reduction for Training Large Models", Huizhuo Yuan, Yifeng Liu,
    Shuang Wu, Xun Zhou, Quanquan Gu, 2024, https://arxiv.org/abs/2411.10438
    """
    return g + gamma * beta1 / (1 - beta1) * (g - last_grad), g


@transform(invariant=("sign", "transpose"), sums={"norm_sq": total(lambda u: u.square())}, clips=True)
def clip_by_tensor_norm(u: Tensor, norm_sq: Tensor, *, max_norm: float = 1.0) -> Tensor:
    """u min(1, c/‖u‖), tensor by tensor.

    Reference: "MARS: Unleashing the Power of Variance Reduction for Training Large Models", Huizhuo Yuan, Yifeng Liu,
    Shuang Wu, Xun Zhou, Quanquan Gu, 2024, https://arxiv.org/abs/2411.10438
    """
    norm = norm_sq.sqrt()
    return u * torch.where(norm > max_norm, max_norm / torch.where(norm > max_norm, norm, 1.0), 1.0)
