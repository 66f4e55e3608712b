"""Scion with every row of a table at one RMS (authors' norm "ColNorm", transposed): -lmo(d) has rows dᵢ / rms(dᵢ).

Source: Pethick et al., "Training Deep Learning Models with Norm-Constrained LMOs" (2025),
https://arxiv.org/abs/2502.07529; authors' code https://github.com/LIONS-EPFL/scion (which adds 1e-8 to the rms)

A tensor is a matrix [first axis, the others], a vector one row.
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
    scale: float = 50.0,
    unconstrained: bool = False,
) -> list[Tensor]:
    def lmo(d: Tensor) -> Tensor:
        rows = d.reshape(len(d), -1) if d.ndim > 1 else d.reshape(1, -1)
        return (rows / rows.square().mean(1, keepdim=True).sqrt()).reshape(d.shape)

    return conditional_gradient(params, grads, lmo, lr, momentum, scale, unconstrained)
