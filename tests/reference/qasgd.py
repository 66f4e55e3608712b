"""QASGD: accelerated stochastic gradients under quasar-convexity and bounded gradients.

Source: Fu, Xu and Wilson, "Accelerated Stochastic Optimization Methods under Quasar-convexity" (2023),
https://arxiv.org/abs/2305.04736; authors' code (ASGD, GeneralASGD), and for the search Hinder, Sidford and Sohoni,
"Near-Optimal Methods for Minimizing Star-Convex Functions and Beyond" (2020), https://arxiv.org/abs/1906.11985

    x ← τ x + (1-τ) z;   z ← z - η (2k+3)/γ ∇f(x)         c = γ (k+1)²/(2k+3),  k = 0, 1, …
    τ: the first of c/(1+c), 1 (if the slope along x - z is not positive at x), 0 (if f(z) ≤ f(x)) and
       bisection's points with  c f(x⁺) + τ ⟨∇f(x⁺), x - z⟩ ≤ c f(x)

The code compares with f(z) and tries another first τ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]

CASES = [{"lr": 0.001, "gamma": 0.5}, {"lr": 0.004, "gamma": 1.0}]


def slope(f: Loss, x: Tensor) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    return torch.autograd.grad(f(leaf), leaf)[0]


def bisearch(f: Loss, x: Tensor, z: Tensor, c: float) -> float:
    if torch.equal(x, z):
        return 1.0

    def fits(tau: float) -> bool:
        w = tau * x + (1 - tau) * z
        return bool(c * f(w) + tau * slope(f, w) @ (x - z) <= c * f(x))

    if fits(c / (1 + c)):
        return c / (1 + c)
    if slope(f, x) @ (x - z) <= 0:
        return 1.0
    if f(z) <= f(x):
        return 0.0
    low, high, tau = 0.0, 1.0, 1.0
    while not fits(tau):
        tau = (low + high) / 2
        if f(tau * x + (1 - tau) * z) <= f(x):
            high = tau
        else:
            low = tau
    return tau


def flattened(params: list[Tensor], loss: Callable[[list[Tensor]], Tensor]) -> tuple[Tensor, Loss]:
    """The parameters as one vector, and the loss of it."""
    sizes = [p.numel() for p in params]

    def f(x: Tensor) -> Tensor:
        return loss([piece.view_as(p) for piece, p in zip(x.split(sizes), params)])

    return torch.cat([p.flatten() for p in params]), f


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1e-3,
    gamma: float = 0.8,
) -> list[Tensor]:
    x, f = flattened(params, loss)
    z = x
    for k in range(steps):
        tau = bisearch(f, x, z, gamma * (k + 1) ** 2 / (2 * k + 3))
        x = tau * x + (1 - tau) * z
        z = z - lr * (2 * k + 3) / gamma * slope(f, x)
    return [piece.view_as(p) for piece, p in zip(x.split([p.numel() for p in params]), params)]
