"""Lookahead around SGD with momentum: `lookahead.py` has the loop. L2 decay."""

from __future__ import annotations

from torch import Tensor

from . import lookahead


def sequences(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    k: int = 5,
    alpha: float = 0.5,
) -> tuple[list[Tensor], list[Tensor]]:
    """The final fast and slow weights."""
    if not weight_decay:
        return lookahead.sequences(params, grads, lr, momentum, k, alpha)
    fast, slow = [], []
    for i, w in enumerate(params):
        theta, phi, b = w, w, 0.0 * w
        for t, step in enumerate(grads, start=1):
            b = momentum * b + step[i] + weight_decay * theta
            theta = theta - lr * b
            if t % k == 0:
                phi = (1 - alpha) * phi + alpha * theta
                theta = phi
        fast.append(theta)
        slow.append(phi)
    return fast, slow


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[0]  # type: ignore[arg-type]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[1]  # type: ignore[arg-type]
