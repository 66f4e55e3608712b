"""Lookahead around AdamW.

Source: Zhang, Lucas, Hinton and Ba, "Lookahead Optimizer: k steps forward, 1 step back" (2019),
https://arxiv.org/abs/1907.08610; authors' code https://github.com/michaelrzhang/lookahead

    k steps of AdamW on the fast weights θ, then  φ ← φ + α (θ - φ),  θ ← φ; the moments stay as they are
"""

from __future__ import annotations

import torch
from torch import Tensor


def sequences(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    k: int = 5,
    alpha: float = 0.5,
) -> tuple[list[Tensor], list[Tensor]]:
    """The final fast and slow weights."""
    beta1, beta2 = betas
    fast, slow = [], []
    for i, w in enumerate(params):
        theta, phi, m, v = w, w, torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            u = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)
            theta = theta - lr * (u + weight_decay * theta)
            if t % k == 0:
                phi = phi + alpha * (theta - phi)
                theta = phi
        fast.append(theta)
        slow.append(phi)
    return fast, slow


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[0]  # type: ignore[arg-type]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[1]  # type: ignore[arg-type]
