"""The stochastic prox-linear method for mean absolute residuals.

Source: Davis and Drusvyatskiy, "Stochastic model-based minimization of weakly convex functions" (2019),
https://arxiv.org/abs/1803.06523, algorithm 4.1 with the model h(r(w) + J(y - w)), h the mean of absolute values

    w ← w + argmin_d 1/n ‖r + J d‖₁ + ‖d‖²/2η

Here the inner problem is solved by its dual, max ⟨y, r⟩ - η/2 ‖Jᵀy‖² over |yᵢ| ≤ 1/n and d = -ηJᵀy, by many steps of
projected gradient ascent.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def reference(
    w: Tensor, residual: Callable[[Tensor], Tensor], steps: int, lr: float = 1e-2, inner: int = 20000
) -> Tensor:
    for _ in range(steps):
        r, j = residual(w), torch.func.jacrev(residual)(w)
        n = len(r)
        y, curve = torch.zeros_like(r), float(torch.linalg.matrix_norm(j, 2)) ** 2
        for _ in range(inner):
            y = (y + (r / lr - j @ (j.mT @ y)) / curve).clamp(-1 / n, 1 / n)
        w = w - lr * j.mT @ y
    return w
