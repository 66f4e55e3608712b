"""Gradient descent preconditioned by a symmetric polynomial of the curvature matrix.

Source: Doikov and Rodomanov, "Polynomial Preconditioning for Gradient Methods" (2023), https://arxiv.org/abs/2301.13194

    P₀ = I;    P_i = (1/i) Σ_j (-1)^(j-1) P_{i-j} U_j,    U_j = tr(B^j) I - B^j
    w ← w - s P_τ g / σ_τ,  s = min(2 s, lr) at first, halved until f falls by ½ s gᵀ P g / σ_τ

B is ∇²f(w) here, and tr(B^j) is estimated by zᵀ B^j z with the signs z that are given; σ_τ is the elementary symmetric
polynomial that belongs to these traces. Where gᵀ P g ≤ 0 (poor traces), P/σ_τ is I.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from reference.rootnewton import laid
from torch import Tensor

PROBLEM = "logistic"
TOLERANCE = 1e-6
CASES = [{"tau": 1}, {"tau": 2}, {"tau": 3, "init_step_size": 0.1}]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    draws: Callable[[int], list[Tensor]],
    lr: float = 1e3,
    tau: int = 2,
    init_step_size: float = 1.0,
) -> list[Tensor]:
    parts, f = laid(params, loss)
    x, s = torch.cat([w.flatten() for w in params]), init_step_size
    eye = torch.eye(len(x), dtype=x.dtype)
    for t in range(1, steps + 1):
        g, b = torch.func.grad(f)(x), torch.func.hessian(f)(x)
        z = torch.cat([n.sign().flatten() for n in draws(t)])
        powers = [torch.linalg.matrix_power(b, j) for j in range(tau + 1)]
        traces = [z @ p @ z for p in powers]
        p, sigma = [eye], [torch.ones((), dtype=x.dtype)]
        for i in range(1, tau + 1):
            p.append(
                sum((-1) ** (j - 1) * p[i - j] @ (traces[j] * eye - powers[j]) for j in range(1, i + 1)) / i
            )
            sigma.append(sum((-1) ** (j - 1) * sigma[i - j] * traces[j] for j in range(1, i + 1)) / i)
        h = -p[tau] @ g / sigma[tau]
        if not sigma[tau] > 0 or not g.dot(h) < 0:
            h = -g
        s = min(2 * s, lr)
        while f(x + s * h) > f(x) + 0.5 * s * g.dot(h):
            s /= 2
        x = x + s * h
    return parts(x)
