"""Levenberg-Marquardt with an adaptive damping, for equations r(w) = 0.

Source: Ahookhosh, Aragón Artacho, Fleming and Vuong, "Local convergence of the Levenberg-Marquardt method under Hölder
metric subregularity" (2019), https://arxiv.org/abs/1703.07461

    μ = ξ ‖r‖^η + ω ‖Jᵀ r‖^η;    w ← w - (JᵀJ + μ I)⁻¹ Jᵀ r

`lr` multiplies the step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def reference(
    x: Tensor,
    residual: Callable[[Tensor], Tensor],
    steps: int,
    lr: float = 1.0,
    eta: float = 1.0,
    xi: float = 1.0,
    omega: float = 1.0,
) -> Tensor:
    for _ in range(steps):
        r, j = residual(x), torch.func.jacrev(residual)(x)
        slope = j.mT @ r
        mu = xi * r.norm() ** eta + omega * slope.norm() ** eta
        x = x - lr * torch.linalg.solve(j.mT @ j + mu * torch.eye(len(x), dtype=x.dtype), slope)
    return x
