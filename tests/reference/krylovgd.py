"""Gradient descent with the best polynomial preconditioner, over a Krylov space.

Source: Doikov and Rodomanov, "Polynomial Preconditioning for Gradient Methods" (2023), https://arxiv.org/abs/2301.13194,
the adaptive method

    h = argmin ⟨g, h⟩ + ½ hᵀ B h  over span(g, B g, ..., B^τ g)
    w ← w + s h,  s = min(2 s, lr) at first, halved until f(w + s h) ≤ f(w) + 0.4 s gᵀ h

B is ∇²f(w) here, with its eigenvalues by their size where f is not convex.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reference.rootnewton import laid

PROBLEM = "logistic"
TOLERANCE = 1e-6
CASES = [{"tau": 2}, {"tau": 0, "lr": 100.0}]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1.0,
    tau: int = 4,
    init_step_size: float = 1.0,
) -> list[Tensor]:
    parts, f = laid(params, loss)
    x, s = torch.cat([w.flatten() for w in params]), init_step_size
    for _ in range(steps):
        g, b = torch.func.grad(f)(x), torch.func.hessian(f)(x)
        columns = [g]
        for _ in range(tau):
            columns.append(b @ columns[-1] / columns[-1].norm())
        basis, _ = torch.linalg.qr(torch.stack(columns, dim=1))
        h = -basis @ torch.linalg.solve(basis.mT @ b @ basis, basis.mT @ g)
        s = min(2 * s, lr)
        while f(x + s * h) > f(x) + 0.4 * s * g.dot(h):
            s /= 2
        x = x + s * h
    return parts(x)
