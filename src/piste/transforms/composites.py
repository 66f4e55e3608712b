"""Rules made of rules: the length of one with the direction of another, and steps that only agree with the slope."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import mean, total, transform


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


@transform(
    sums={
        "agreeing": total(lambda u, grad: (u * grad > 0).to(u.dtype)),
        "size": total(lambda u: torch.ones_like(u)),
    }
)
def cautious_paper(u: Tensor, grad: Tensor, agreeing: Tensor, size: Tensor) -> Tensor:
    """As :func:`cautious`, with the scale of the paper's algorithm: u ← u φ d / (Σφ + 1) for d coordinates.

    Reference: "Cautious Optimizers: Improving Training with One Line of Code", Kaizhao Liang, Lizhang Chen, Bo Liu,
    Qiang Liu, 2024, https://arxiv.org/abs/2411.16085
    """
    return torch.where(u * grad > 0, u * (size / (agreeing + 1)), 0.0)


@transform(invariant=("sign",), holds=("direction", "magnitude"))
def signed_magnitude(u: Tensor, direction: Any, magnitude: Any) -> Tensor:
    """u ← sign(D(u)) |M(u)|, entry by entry, for two chains D and M with a state of their own.

    Which way and how far are asked of two rules: ``signed_magnitude(chain(), scale_by_adam(...))`` goes Adam's length
    against today's gradient (Grams), ``signed_magnitude(ema(β₁), ...)`` today's length against the momentum (Ano).
    Rules of the two that need a sum over a tensor must see whole tensors (scope "tensor").

    Reference: "Grams: Gradient Descent with Adaptive Momentum Scaling", Yang Cao, Xiaoyu Li, Zhao Song, 2024,
    https://arxiv.org/abs/2412.17107
    """
    return direction(u).sign() * magnitude(u).abs()
