"""QAGD: accelerated gradient descent under quasar-convexity, for exact gradients or noise that grows with them.

Source: Fu, Xu and Wilson, "Accelerated Stochastic Optimization Methods under Quasar-convexity" (2023),
https://arxiv.org/abs/2305.04736; authors' code (ASGDSGC, GeneralASGDSGC), and for the search Hinder, Sidford and
Sohoni, "Near-Optimal Methods for Minimizing Star-Convex Functions and Beyond" (2020), https://arxiv.org/abs/1906.11985

    x = τ y + (1-τ) z;   y ← x - η ∇f(x);   z ← z - (A_{k+1} - A_k)/γ ∇f(x)      A_k = γ² (k+1)² η / 4ρ,  η = 1/ρL
    τ from the search between y and z with c = γ (k+1)²/(2k+3)

The search is written out in the textbook of QASGD.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .qasgd import bisearch, flattened, slope

CASES = [{"lr": 0.05}, {"lr": 0.2, "gamma": 0.4}, {"lr": 0.1, "gamma": 1.0, "rho": 2.0}]


def reference(
    params: list[Tensor], loss: Callable[[list[Tensor]], Tensor], steps: int, lr: float = 1e-2, gamma: float = 0.8,
    rho: float = 1.0,
) -> list[Tensor]:  # fmt: skip
    y, f = flattened(params, loss)
    z = y
    for k in range(steps):
        tau = bisearch(f, y, z, gamma * (k + 1) ** 2 / (2 * k + 3))
        x = tau * y + (1 - tau) * z
        g = slope(f, x)
        weight = gamma**2 * lr / (4 * rho)
        y = x - lr * g
        z = z - (weight * (k + 2) ** 2 - weight * (k + 1) ** 2) / gamma * g
    return [piece.view_as(p) for piece, p in zip(y.split([p.numel() for p in params]), params)]
