"""Nonlinear conjugate gradients, with a line search for the strong Wolfe conditions (that of the textbook of L-BFGS).

Source: Polak and Ribière, "Note sur la convergence de méthodes de directions conjuguées" (1969),
https://doi.org/10.1051/m2an/196903R100351; Nocedal and Wright, "Numerical Optimization" (2nd ed. 2006), section 5.2
(PR+)

    β = max(0, gᵀ(g - g₋) / g₋ᵀg₋),   u = g + β u₋ (g itself where gᵀu ≤ 0, and at first);   w ← w - t u
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .lbfgs import Point, strong_wolfe

TOLERANCE = 1e-9


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1.0,
    c1: float = 1e-4,
    c2: float = 0.1,
) -> list[Tensor]:
    shapes = [w.shape for w in params]

    def unflat(x: Tensor) -> list[Tensor]:
        return [part.reshape(s) for part, s in zip(x.split([s.numel() for s in shapes]), shapes)]

    def evaluate(x: Tensor) -> tuple[float, Tensor]:
        leaf = x.detach().clone().requires_grad_()
        value = loss(unflat(leaf))
        return value.item(), torch.autograd.grad(value, leaf)[0]

    x = torch.cat([w.flatten() for w in params])
    last, u = torch.zeros_like(x), torch.zeros_like(x)
    for t in range(steps):
        f, g = evaluate(x)
        beta = max(0.0, float(g.dot(g - last) / last.dot(last))) if t else 0.0
        u = g + beta * u
        u, last = (u if g.dot(u) > 0 else g), g

        def ray(t: float, x: Tensor = x, u: Tensor = u) -> Point:
            value, slope = evaluate(x - t * u)
            return Point(t, value, float(-slope.dot(u)), slope)

        start = Point(0.0, f, float(-g.dot(u)), g)
        x = x - strong_wolfe(ray, start, lr, float(u.abs().max()), c1, c2).t * u
    return unflat(x)
