"""Gradient clipping in front of plain SGD: by value, by global norm, and per unit.

Sources:
- Pascanu, Mikolov and Bengio, "On the difficulty of training Recurrent Neural Networks" (2013),
  https://arxiv.org/abs/1211.5063, algorithm 1: the gradient of all parameters together is scaled to norm c
  when it is longer.
- Brock, De, Smith and Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization"
  (2021), https://arxiv.org/abs/2102.06171 (adaptive gradient clipping); authors' code
  https://github.com/google-deepmind/deepmind-research/tree/master/nfnets

    value:        g ← clamp(g, -c, c)
    global norm:  g ← g min(1, c / (‖all g‖ + δ))
    per unit:     gᵢ ← gᵢ min(1, c max(‖wᵢ‖, ε) / ‖gᵢ‖)        i: one output unit

δ is 0 in the paper; torch.nn.utils.clip_grad_norm_ has 1e-6. A unit is a row of a torch weight (axis 0 is the
output; the authors' JAX weights have it last); vectors and scalars are clipped as one unit. The authors leave
the final linear layer unclipped and guard ‖gᵢ‖ by 1e-6, which never acts when the clip does.
"""

from __future__ import annotations

import torch
from torch import Tensor


def by_value(grads: list[Tensor], clip_value: float) -> list[Tensor]:
    return [g.clamp(-clip_value, clip_value) for g in grads]


def by_global_norm(grads: list[Tensor], max_norm: float, delta: float = 0.0) -> list[Tensor]:
    total = sum(g.square().sum() for g in grads)
    norm = torch.as_tensor(total).sqrt()
    return [g * max_norm / (norm + delta) if norm + delta > max_norm else g for g in grads]


def unit_norms(x: Tensor) -> Tensor:
    if x.squeeze().ndim <= 1:
        return x.norm()
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))


def by_unit(params: list[Tensor], grads: list[Tensor], clipping: float, eps: float = 1e-3) -> list[Tensor]:
    clipped = []
    for w, g in zip(params, grads):
        bound, size = clipping * unit_norms(w).clamp(min=eps), unit_norms(g)
        clipped.append(torch.where(size > bound, g * bound / size.clamp(min=1e-6), g))
    return clipped


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    clip_value: float | None = None,
    max_norm: float | None = None,
    clipping: float | None = None,
    delta: float = 0.0,
    eps: float = 1e-3,
) -> list[Tensor]:
    """SGD on gradients clipped by whichever of the three is given (in the order value, norm, unit)."""
    for step in grads:
        if clip_value is not None:
            step = by_value(step, clip_value)
        if max_norm is not None:
            step = by_global_norm(step, max_norm, delta)
        if clipping is not None:
            step = by_unit(params, step, clipping, eps)
        params = [w - lr * g for w, g in zip(params, step)]
    return params
