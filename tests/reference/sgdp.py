"""SGDP: momentum SGD's step without its part along weights to which the gradient is at right angles.

Source: as `adamp.py`, which has the projection. Decay is decoupled and over 1 - μ. The first buffer is g, as torch's
(the authors' is (1 - τ) g).
"""

from __future__ import annotations

from torch import Tensor

from .adamp import projected


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    eps: float = 1e-8,
    delta: float = 0.1,
    wd_ratio: float = 0.1,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        b = None
        for step in grads:
            g = step[i]
            b = g if b is None else momentum * b + (1 - dampening) * g
            u = g + momentum * b if nesterov else b if momentum else g
            u, ratio = projected(u, w, g, delta, wd_ratio, eps)
            w = (1 - lr * weight_decay * ratio / (1 - momentum)) * w - lr * u
        final.append(w)
    return final
