"""OASIS: scaled by the Hessian's diagonal, at a rate from the local smoothness in that metric.

Source: Jahani, Rusakov, Shi, Richtárik, Mahoney and Takáč, "Doubly Adaptive Scaled Algorithm for Machine Learning Using
Second-Order Information" (2022), https://arxiv.org/abs/2109.05198, algorithm 1

    D ← β₂ D + (1 - β₂) z ⊙ ∇²f(w) z;    D̂ = max(|D|, α)
    η ← min(√(1+θ) η, ‖w - w₋‖_D̂ / (2 ‖∇f(w) - ∇f(w₋)‖_D̂⁻¹));    w ← w - η D̂⁻¹ ∇f(w);    θ ← η / η₋

from η₀, θ₀ = ∞. The paper starts D from a mean of several probes; here D starts at zero and |D| is divided by
1 - β₂ᵗ. The z are given; `lr` multiplies every step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TOLERANCE = 1e-6
CASES = [{}, {"beta2": 0.9, "alpha": 0.05, "eta0": 0.01}]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    draws: Callable[[int], list[Tensor]],
    lr: float = 1.0,
    beta2: float = 0.999,
    alpha: float = 1e-3,
    eta0: float = 1e-3,
) -> list[Tensor]:
    shapes = [w.shape for w in params]

    def parts(x: Tensor) -> list[Tensor]:
        return [p.reshape(s) for p, s in zip(x.split([s.numel() for s in shapes]), shapes)]

    def gradient(x: Tensor) -> Tensor:
        return torch.func.grad(lambda y: loss(parts(y)))(x)

    x = torch.cat([w.flatten() for w in params])
    diagonal, eta, theta, last = torch.zeros_like(x), eta0, float("inf"), None
    for t in range(1, steps + 1):
        z = torch.cat([n.sign().flatten() for n in draws(t)])
        g, hz = torch.func.jvp(gradient, (x,), (z,))
        diagonal = beta2 * diagonal + (1 - beta2) * z * hz
        metric = (diagonal / (1 - beta2**t)).abs().clamp(min=alpha)
        if last is not None:
            dx, dg = x - last, g - gradient(last)
            smooth = 0.5 * ((metric * dx * dx).sum() / (dg * dg / metric).sum()).sqrt().item()
            old, eta = eta, min((1 + theta) ** 0.5 * eta, smooth)
            theta = eta / old
        last, x = x, x - lr * eta * g / metric
    return parts(x)
