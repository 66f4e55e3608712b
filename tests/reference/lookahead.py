"""Lookahead around SGD with momentum.

Source: Zhang, Lucas, Hinton and Ba, "Lookahead Optimizer: k steps forward, 1 step back" (2019),
https://arxiv.org/abs/1907.08610; authors' code https://github.com/michaelrzhang/lookahead

    k inner steps on the fast weights θ, then  φ ← φ + α (θ - φ),  θ ← φ

The inner momentum is left alone at synchronisation (the authors' `pullback_momentum="none"`, their default).
α defaults to 0.5 in the paper and 0.8 in the authors' code (k = 5 in both). The paper evaluates the slow
weights: `reference_eval`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sequences(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.0,
    k: int = 5,
    alpha: float = 0.5,
) -> tuple[list[Tensor], list[Tensor]]:
    """The final fast and slow weights."""
    fast, slow = [], []
    for i, w in enumerate(params):
        theta, phi, b = w, w, torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            b = momentum * b + step[i]
            theta = theta - lr * b
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
