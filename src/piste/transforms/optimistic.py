"""Steps towards a gradient that is guessed before it is seen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, ring, square, transform
from ._numbers import wide


@transform(
    invariant=("sign",),
    holds=("predict",),
    exp_avg=moment,
    exp_avg_sq=square,
    max_exp_avg_sq=square,
    predicted=moment,
    ahead=moment,
)
def scale_by_optimistic_amsgrad(
    g: Tensor, predict: Any, exp_avg: Tensor, exp_avg_sq: Tensor, max_exp_avg_sq: Tensor, predicted: Tensor,
    ahead: Tensor, *, beta1: float, beta2: float, eps: float,
) -> Any:  # fmt: skip
    """AMSGrad that takes half a step ahead, against the gradient it expects next, and scales by what surprised it.

        θ' = β₁θ + (1-β₁)g;   v ← β₂v + (1-β₂)(g - m)²;   v̄ ← max(v̄, v)
        m ← predict(g);   h' = (β₁θ + (1-β₁)m) / (√v̄ + ε)
        u = θ' / (√v̄ + ε) + h' - h;   θ ← θ',  h ← h'

    ``predict`` is a chain that makes a guess of the next gradient: ``chain()`` the gradient itself.

    Reference: "An Optimistic Acceleration of AMSGrad for Nonconvex Optimization", Jun-Kun Wang, Xiaoyun Li, Belhal
    Karimi, Ping Li, 2021, https://arxiv.org/abs/1903.01435
    """
    v = exp_avg_sq.lerp((g - predicted).square(), 1 - beta2)
    largest = torch.maximum(max_exp_avg_sq, v)
    size, m = largest.sqrt() + eps, predict(g)
    theta, h = exp_avg.lerp(g, 1 - beta1), exp_avg.lerp(m, 1 - beta1) / size
    return theta / size + h - ahead, theta, v, largest, m, h


@transform(scope="tensor", invariant=("sign",), window=ring("span"))
def extrapolate_gradients(u: Tensor, step: Any, window: Tensor, *, span: int = 5, damp: float = 1e-3) -> Any:
    """Where the last gradients x₀, …, x_r (r = ``span``, x_r today's) are going, by minimal polynomial extrapolation:

        u ← Σ cᵢxᵢ,  c = z / Σz,  (UᵀU + λI) z = 1,  U = [x₁ - x₀, …, x_r - x_(r-1)],  i = 1, …, r

    matrix by matrix; u itself while there are fewer.

    Reference: "An Optimistic Acceleration of AMSGrad for Nonconvex Optimization", Jun-Kun Wang, Xiaoyun Li, Belhal
    Karimi, Ping Li, 2021, https://arxiv.org/abs/1903.01435
    """
    known = torch.cat([window, u.unsqueeze(-3)], dim=-3)
    moves = wide(known.diff(dim=-3).flatten(-2))
    gram = moves @ moves.mT + damp * torch.eye(span, dtype=moves.dtype, device=u.device)
    z = torch.linalg.solve(gram, torch.ones_like(moves[..., :1]))
    c = (z / z.sum(dim=-2, keepdim=True)).to(u.dtype).unsqueeze(-1)
    ready = torch.as_tensor(step > span, device=u.device)
    return torch.where(ready, (c * known[..., 1:, :, :]).sum(-3), u), u
