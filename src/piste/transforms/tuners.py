"""Tuners of a rate: they stand behind any base rule, whose steps they add up and scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, transform, weights
from .adaptation import held_at_zero

_EACH = scalar("each", length=lambda m, n, hyper: len(hyper["mechanic_betas"]))


@transform(
    room="delta", scope="tree", initial=weights, sum_of_steps=moment, scales=_EACH, reward=_EACH,
    largest_product=_EACH(fill=1e-6), squared_products=_EACH,
)  # fmt: skip
def mechanic(
    u: Tensor, param: Tensor, grad: Tensor, dot: Any, initial: Tensor, sum_of_steps: Tensor, scales: Tensor,
    reward: Tensor, largest_product: Tensor, squared_products: Tensor, *, lr: float,
    mechanic_betas: tuple[float, ...] = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999), s_decay: float = 0.01,
    s_init: float = 1e-8, eps: float = 1e-8,
) -> Any:  # fmt: skip
    """The sum Δ of a base rule's steps, at a scale that is learned as coins are bet. For each β of n, with S = Σ s:

        h = ⟨Δ, g + λS‖g‖ p/‖p‖⟩;   Δ ← Δ + δ
        m ← max(βm, |h|);   v ← β²v + h²;   r ← max(0, βr - sh);   s ← (s_init m/n + r) / (√v + ε)
        p ← p₀ + SΔ

    Products and norms over all parameters; g is the gradient itself. At η = 0 nothing happens.

    Reference: "Mechanic: A Learning Rate Tuner", Ashok Cutkosky, Aaron Defazio, Harsh Mehta, 2023,
    https://arxiv.org/abs/2306.00144
    """
    s = scales[0]  # every parameter keeps the same
    betas = torch.as_tensor(mechanic_betas, dtype=s.dtype, device=s.device)
    size = dot(param, param).sqrt() + eps
    decay = s_decay * s.sum() * dot(grad, grad).sqrt() / size
    h = (dot(sum_of_steps, grad) + decay * dot(sum_of_steps, param)).to(s)
    steps = sum_of_steps + u
    m = torch.maximum(betas * largest_product[0], h.abs())
    v = betas.square() * squared_products[0] + h.square()
    r = (betas * reward[0] - s * h).clamp(min=0.0)
    s = (s_init / len(betas) * m + r) / (v.sqrt() + eps)
    delta, *kept = held_at_zero(
        lr,
        (initial + s.sum() * steps - param, steps, *(x.expand_as(scales) for x in (s, r, m, v))),
        (u * 0.0, sum_of_steps, scales, reward, largest_product, squared_products),
    )
    return delta, None, *kept
