"""Universal Newton: Newton's method with a step size by backtracking.

Source: Hanzely, Abdukhakimov and Takáč, "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate"
(2024), https://arxiv.org/abs/2405.18926, algorithm UN

    n = |∇²f|⁻¹ g;    γ² = gᵀ n;    α = 1/(1 + θ),  θ = c^j σ γ^β
    the first j = 0, 1, ... with ⟨∇f(w - α n), n⟩ ≥ ‖∇f(w - α n)‖*² / (2 α θ);    σ ← σ c^(j-1);    w ← w - α n

As in Root Newton's textbook the eigenvalues enter by their size. `lr` multiplies the step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reference.rootnewton import laid, solve

PROBLEM = "logistic"
TOLERANCE = 1e-7
CASES = [{"lr": 0.5}, {"sigma0": 0.01, "beta": 0.7, "c": 3.0}]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1.0,
    beta: float = 1.0,
    sigma0: float = 1.0,
    c: float = 2.0,
) -> list[Tensor]:
    parts, f = laid(params, loss)
    x, sigma = torch.cat([w.flatten() for w in params]), sigma0
    for _ in range(steps):
        g, h = torch.func.grad(f)(x), torch.func.hessian(f)(x)
        n = solve(h, g)
        size = g.dot(n).sqrt().item()
        j = 0
        while True:
            theta = c**j * sigma * size**beta
            alpha = 1 / (1 + theta)
            there = torch.func.grad(f)(x - alpha * n)
            if there.dot(n) * 2 * alpha * theta >= there.dot(solve(h, there)) or j == 59:
                break
            j += 1
        sigma *= c ** (j - 1)
        x = x - lr * alpha * n
    return parts(x)
