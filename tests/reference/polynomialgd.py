"""Gradient descent preconditioned by a symmetric polynomial of the curvature matrix.

Source: Doikov and Rodomanov, "Polynomial Preconditioning for Gradient Methods" (2023), https://arxiv.org/abs/2301.13194

    P₀ = I;    P_i = (1/i) Σ_j (-1)^(j-1) P_{i-j} U_j,    U_j = tr(B^j) I - B^j
    w ← w - s P_τ g / σ_τ,  s = min(2 s, lr) at first, halved until f falls by ½ s gᵀ P g / σ_τ

B is ∇²f(w) here; σ_τ is the elementary symmetric polynomial of its eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reference.rootnewton import laid

PROBLEM = "logistic"
TOLERANCE = 1e-6
CASES = [{"tau": 1}, {"tau": 2}, {"tau": 3, "init_step_size": 0.1}]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1e3,
    tau: int = 2,
    init_step_size: float = 1.0,
) -> list[Tensor]:
    parts, f = laid(params, loss)
    x, s = torch.cat([w.flatten() for w in params]), init_step_size
    eye = torch.eye(len(x), dtype=x.dtype)
    for _ in range(steps):
        g, b = torch.func.grad(f)(x), torch.func.hessian(f)(x)
        powers = [torch.linalg.matrix_power(b, j) for j in range(tau + 1)]
        traces = [p.trace() for p in powers]
        p, sigma = [eye], [torch.ones((), dtype=x.dtype)]
        for i in range(1, tau + 1):
            p.append(
                sum((-1) ** (j - 1) * p[i - j] @ (traces[j] * eye - powers[j]) for j in range(1, i + 1)) / i
            )
            sigma.append(sum((-1) ** (j - 1) * sigma[i - j] * traces[j] for j in range(1, i + 1)) / i)
        h = -p[tau] @ g / sigma[tau]
        s = min(2 * s, lr)
        while f(x + s * h) > f(x) + 0.5 * s * g.dot(h):
            s /= 2
        x = x + s * h
    return parts(x)
