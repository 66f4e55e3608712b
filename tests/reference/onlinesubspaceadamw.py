"""Online Subspace Descent: AdamW in a subspace that takes a step of online PCA after each of its own.

Source: Liang, Liu, Chen and Liu, "Memory-Efficient LLM Training with Online Subspace Descent" (2024),
https://arxiv.org/abs/2408.12857; authors' code https://github.com/kyleliang919/Online-Subspace-Descent, which this file
follows

P [m, r] are g's leading left singular vectors at the first step; behind every later step it takes one of AdamW (betas
0.9 and 0.999, ε = 1e-8, decay 0.01, rate γ) on

    L(P) = ‖ĝ - P Pᵀ ĝ‖²,    ĝ = g / ‖g‖        (the gradient is autograd's here)

    m < n:    g' = Pᵀ g        w ← w - η s c P [m' / (√v' + ε)]            c = √(1 - β₂ᵗ) / (1 - β₁ᵗ)
    else:     the same with gᵀ and wᵀ
    w ← (1 - η λ) w            after the step

The rule inside may be another one: ``inner`` gives (its update in the subspace, its state).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# at full rank P has nothing to learn, and Adam makes steps of what rounding leaves; at a smaller one
# tests/optimizers/test_subspaces.py differentiates it
SMOOTH = False
CASE = dict(
    shapes=[(6, 6), (5, 8), (8, 5), (2, 7), (4,), ()],
    tolerance=1e-9,
    hyper={"rank": 3, "projection_lr": 0.05},
)


def followed(P: Tensor, g: Tensor, state: list[Any], lr: float, decay: float) -> Tensor:
    """P after its own step; state: Adam's moments and the number of its steps."""
    leaf = P.clone().requires_grad_(True)
    unit = g / g.norm()
    (leaf @ leaf.T @ unit - unit).square().sum().backward()
    slope = leaf.grad
    m, v, t = state
    m, v, t = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2, t + 1
    state[:] = [m, v, t]
    move = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return (P * (1 - lr * decay) - lr * move).detach()


def paths(
    params: list[Tensor], grads: list[list[Tensor]], inner: Callable[..., Tensor], outer: Callable[..., Tensor],
    rank: int, projection_lr: float, projection_decay: float,
) -> list[Tensor]:  # fmt: skip
    """``inner(g', state, t)`` is the rule in the subspace; ``outer(w, step, projected)`` writes the weight."""
    final = []
    for i, w in enumerate(params):
        tall = w.ndim == 2 and w.shape[0] >= w.shape[1]
        w = w.T if tall else w
        P = None
        state: dict[str, Any] = {}
        own: list[Any] = [0.0, 0.0, 0]
        for t, row in enumerate(grads, start=1):
            g = row[i].T if tall else row[i]
            if w.ndim == 2 and t == 1:
                P = torch.linalg.svd(g, full_matrices=False)[0][:, :rank]
            step = inner(g if P is None else P.T @ g, state, t)
            w = outer(w, step if P is None else P @ step, P is not None)
            if P is not None and t > 1:
                P = followed(P, g, own, projection_lr, projection_decay)
        final.append(w.T if tall else w)
    return final


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6, weight_decay: float = 0.0, rank: int = 128, scale: float = 0.25, projection_lr: float = 0.005,
    projection_decay: float = 0.01, correct_bias: bool = True,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas

    def inner(g: Tensor, state: dict[str, Any], t: int) -> Tensor:
        state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
        state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g**2
        step = state["m"] / (state["v"].sqrt() + eps)
        return step * (1 - beta2**t) ** 0.5 / (1 - beta1**t) if correct_bias else step

    def outer(w: Tensor, step: Tensor, projected: bool) -> Tensor:
        return (w - lr * (scale if projected else 1.0) * step) * (1 - lr * weight_decay)

    return paths(params, grads, inner, outer, rank, projection_lr, projection_decay)
