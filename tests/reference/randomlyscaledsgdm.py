"""SGD with momentum whose every step is multiplied by an exponentially distributed number.

Source: Zhang and Cutkosky, "Random Scaling and Momentum for Non-smooth Non-convex Optimization" (2024),
https://arxiv.org/abs/2405.09742; the update as in the authors' code (O2NCGD)

    Δ ← β/(1 + ημ) (Δ - η g);   x ← x + s Δ,  s ~ Exp(1)
    x̄ = Σ β^(t-k) x_k / Σ β^(t-k)            over the points x_k at which gradients were taken

s is -ln(1 - u) of the number u that Python's generator seeded by "seed/step" gives first, which is how the library
draws it.
"""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

CASE = dict(hyper={"lr": 0.02, "beta": 0.9, "mu": 3.0, "draw_seed": 5})


def sequences(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, beta: float = 0.99, mu: float = 0.0,
    draw_seed: int = 0,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """The final x and x̄ of every parameter."""
    ends, means = [], []
    for i, x in enumerate(params):
        delta, visited = torch.zeros_like(x), []
        for t, row in enumerate(grads, start=1):
            visited.append(x)
            delta = (delta - lr * row[i]) * beta / (1 + lr * mu)
            x = x - math.log(1 - random.Random(f"{draw_seed}/{t}").random()) * delta
        shares = [beta ** (len(visited) - 1 - k) for k in range(len(visited))]
        ends.append(x)
        means.append(sum(s * v for s, v in zip(shares, visited)) / sum(shares))  # type: ignore[arg-type]
    return ends, means


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[0]  # type: ignore[arg-type]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    """The discounted mean."""
    return sequences(params, grads, **hyper)[1]  # type: ignore[arg-type]
