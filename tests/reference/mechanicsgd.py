"""Mechanic around SGD with momentum.

Source: Cutkosky, Defazio and Mehta, "Mechanic: A Learning Rate Tuner" (2023), https://arxiv.org/abs/2306.00144,
algorithm 1; authors' code https://github.com/optimizedlearning/mechanic

For n numbers β, with u_t the base rule's step at x_t and S_t = Σ s_t:

    h_t = ⟨Δ_t, g_t + λ S_t ‖g_t‖ x_t/‖x_t‖⟩;   Δ_{t+1} = Δ_t + u_t
    m ← max(β m, |h|) from 1e-6;   v ← β² v + h²;   r ← max(0, β r - s h);   W = s_init m/n + r
    s_{t+1} = W / (√v + ε) from 0;   x_{t+1} = x_1 + S_{t+1} Δ_{t+1}

The code takes x after the base rule's step in h, and adds ε to ‖x‖; here only the latter.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BETAS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
CASE = {"hyper": {"s_init": 1e-2, "s_decay": 0.1}}


def tuned(
    base: Callable[[Tensor, Tensor, int], Tensor], params: list[Tensor], grads: list[list[Tensor]],
    mechanic_betas: tuple[float, ...] = BETAS, s_decay: float = 0.01, s_init: float = 1e-8, mechanic_eps: float = 1e-8,
) -> list[Tensor]:  # fmt: skip
    """``base(x, g, t)``: the base rule's step."""
    x = start = torch.cat([p.flatten() for p in params])
    steps = torch.zeros_like(x)
    n = len(mechanic_betas)
    s, r, v, m = [0.0] * n, [0.0] * n, [0.0] * n, [1e-6] * n
    for t, row in enumerate(grads, start=1):
        g = torch.cat([a.flatten() for a in row])
        pull = s_decay * sum(s) * g.norm() / (x.norm() + mechanic_eps)
        h = float(steps @ (g + pull * x))
        steps = steps + base(x, g, t)
        for i, beta in enumerate(mechanic_betas):
            m[i] = max(beta * m[i], abs(h))
            v[i] = beta**2 * v[i] + h**2
            r[i] = max(0.0, beta * r[i] - s[i] * h)
            s[i] = (s_init * m[i] / n + r[i]) / (v[i] ** 0.5 + mechanic_eps)
        x = start + sum(s) * steps
    return [a.view_as(p) for a, p in zip(x.split([p.numel() for p in params]), params)]


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, momentum: float = 0.9, weight_decay: float = 0.0,
    mechanic_betas: tuple[float, ...] = BETAS, s_decay: float = 0.01, s_init: float = 1e-8, mechanic_eps: float = 1e-8,
) -> list[Tensor]:  # fmt: skip
    buffer: list[Tensor] = []

    def sgd(x: Tensor, g: Tensor, t: int) -> Tensor:
        g = g + weight_decay * x
        buffer[:] = [momentum * buffer[0] + g if buffer else g]
        return -lr * buffer[0]

    return tuned(sgd, params, grads, mechanic_betas, s_decay, s_init, mechanic_eps)
