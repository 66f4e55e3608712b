"""Scion with the ball of bounded entries (authors' norm "Sign"): -lmo(d) = sign(d) / columns.

Source: Pethick et al., "Training Deep Learning Models with Norm-Constrained LMOs" (2025),
https://arxiv.org/abs/2502.07529; authors' code https://github.com/LIONS-EPFL/scion

A vector counts as one row.
"""

from __future__ import annotations

from torch import Tensor

from reference.scion import conditional_gradient

SMOOTH = False  # steps of one size


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 2**-12,
    momentum: float = 0.9,
    scale: float = 3000.0,
    normalized: bool = True,
    unconstrained: bool = False,
) -> list[Tensor]:
    def lmo(d: Tensor) -> Tensor:
        columns = d.numel() / d.shape[0] if d.ndim > 1 else d.numel()
        return d.sign() / columns if normalized else d.sign()

    return conditional_gradient(params, grads, lmo, lr, momentum, scale, unconstrained)
