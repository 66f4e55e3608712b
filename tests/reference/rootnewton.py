"""Root Newton: Newton's method with a step size by formula.

Source: Hanzely, Abdukhakimov and Takáč, "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate"
(2024), https://arxiv.org/abs/2405.18926, algorithm RN

    n = |∇²f|⁻¹ g;    γ² = gᵀ n;    θ = (9M)^(1/(q-1)) γ^((q-2)/(q-1));    w ← w - n / (1 + θ)

The paper's losses are convex; on others the Hessian's eigenvalues enter by their size. `lr` multiplies the step. The
library's directions come from differences of gradients: exact to about 1e-8.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PROBLEM = "logistic"
TOLERANCE = 1e-7
CASES = [{"lr": 0.5}, {"lr": 1.0, "q": 3.0, "smoothness": 20.0}]


def laid(params: list[Tensor], loss: Callable[[list[Tensor]], Tensor]) -> tuple[Callable, Callable]:
    shapes = [w.shape for w in params]

    def parts(x: Tensor) -> list[Tensor]:
        return [p.reshape(s) for p, s in zip(x.split([s.numel() for s in shapes]), shapes)]

    return parts, lambda x: loss(parts(x))


def solve(hessian: Tensor, g: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(hessian)
    return vectors @ ((vectors.mT @ g) / values.abs())


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1.0,
    q: float = 4.0,
    smoothness: float = 1.0,
) -> list[Tensor]:
    parts, f = laid(params, loss)
    x = torch.cat([w.flatten() for w in params])
    for _ in range(steps):
        g = torch.func.grad(f)(x)
        n = solve(torch.func.hessian(f)(x), g)
        theta = (9 * smoothness) ** (1 / (q - 1)) * g.dot(n).sqrt() ** ((q - 2) / (q - 1))
        x = x - lr * n / (1 + theta)
    return parts(x)
