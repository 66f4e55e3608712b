"""Rules made of rules: the length of one with the direction of another, and steps that only agree with the slope."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import mean, transform


@transform(invariant=("sign",), scope="tensor", holds=("magnitude", "direction"))
def graft(u: Tensor, magnitude: Any, direction: Any, *, eps: float = 1e-16) -> Tensor:
    """u ← ‖M(u)‖ / (‖D(u)‖ + ε) · D(u), matrix by matrix, for two chains M and D with a state of their own.

    So D needs no learning rate of its own: M's, and its schedule, carry over (SGD's or Adam's length on Shampoo's
    direction, say).

    Reference: "Disentangling Adaptive Gradient Methods from Learning Rates", Naman Agarwal, Rohan Anil, Elad Hazan,
    Tomer Koren, Cyril Zhang, 2020, https://arxiv.org/abs/2002.11803
    """
    long, straight = magnitude(u), direction(u)
    size, own = (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) for x in (long, straight))
    return straight * (size / (own + eps))


@transform(sums={"agreeing": mean(lambda u, grad: (u * grad > 0).to(u.dtype))})
def cautious(u: Tensor, grad: Tensor, agreeing: Tensor) -> Tensor:
    """u ← u φ / max(mean φ, 1e-3), φ = [u g > 0]: only coordinates whose step agrees with today's gradient move.

    It stands behind the rule and in front of the decay. The scale is the authors' present C-AdamW; the paper (and
    their C-Lion) has d / (Σφ + 1) for d coordinates.

    Reference: "Cautious Optimizers: Improving Training with One Line of Code", Kaizhao Liang, Lizhang Chen, Bo Liu,
    Qiang Liu, 2024, https://arxiv.org/abs/2411.16085
    """
    return torch.where(u * grad > 0, u / agreeing.clamp(min=1e-3), 0.0)
