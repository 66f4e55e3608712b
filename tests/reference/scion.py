"""Scion: conditional gradient steps in the norm ball of each layer.

Source: Pethick et al., "Training Deep Learning Models with Norm-Constrained LMOs" (2025),
https://arxiv.org/abs/2502.07529; authors' code https://github.com/LIONS-EPFL/scion

    d ← μ d + (1 - μ) g                  the authors' `momentum` is 1 - μ
    w ← (1 - η) w + η ρ lmo(d)           constrained;  w ← w + η ρ lmo(d)  unconstrained

Here lmo is that of the spectral ball between RMS norms, -√(rows / columns) U Vᵀ, by Muon's five quintic steps. The
authors treat a convolution per window entry; here it is one matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMOOTH = False  # steps of one size

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8)], tolerance=1e-9)


def quintic(u: Tensor, steps: int) -> Tensor:
    x = u.T if u.shape[0] > u.shape[1] else u
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x.T if u.shape[0] > u.shape[1] else x


def conditional_gradient(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lmo: Callable[[Tensor], Tensor],
    lr: float,
    momentum: float,
    scale: float,
    unconstrained: bool,
) -> list[Tensor]:
    """``lmo`` gives the negative of the oracle's answer."""
    final = []
    for i, w in enumerate(params):
        d = torch.zeros_like(w)
        for step in grads:
            d = momentum * d + (1 - momentum) * step[i]
            w = (w if unconstrained else (1 - lr) * w) - lr * scale * lmo(d)
        final.append(w)
    return final


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 2**-12,
    momentum: float = 0.9,
    scale: float = 50.0,
    unconstrained: bool = False,
    ns_steps: int = 5,
) -> list[Tensor]:
    def lmo(d: Tensor) -> Tensor:
        return (d.shape[0] / d.shape[1]) ** 0.5 * quintic(d, ns_steps)

    return conditional_gradient(params, grads, lmo, lr, momentum, scale, unconstrained)
