"""Scion with the RMS ball of the whole tensor (authors' norm "BiasRMS"): -lmo(d) = d / rms(d).

Source: Pethick et al., "Training Deep Learning Models with Norm-Constrained LMOs" (2025),
https://arxiv.org/abs/2502.07529; authors' code https://github.com/LIONS-EPFL/scion (which adds 1e-8 to the rms)
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
        return d / d.square().mean().sqrt()

    return conditional_gradient(params, grads, lmo, lr, momentum, scale, unconstrained)
