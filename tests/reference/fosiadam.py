"""FOSI with Adam: Newton in the span of extreme eigenvectors, Adam elsewhere.

Source: Sivan, Gabel and Schuster, "FOSI: Hybrid First and Second Order Optimization" (2024),
https://arxiv.org/abs/2302.08484; authors' code https://github.com/hsivan/fosi

As FOSI with heavy ball (see there), but m ← β₁ m + (1 - β₁) g₁, d₂ Adam's direction, and no factor c.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reference.fosi import split

PROBLEM = "logistic"
TOLERANCE = 1e-5
CASES = [{"lr": 0.02, "approx_k": 2, "approx_l": 1, "num_iters_to_approx_eigs": 4}]


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    approx_k: int = 5,
    approx_l: int = 0,
    num_iters_to_approx_eigs: int = 100,
    alpha: float = 0.1,
) -> list[Tensor]:
    n = sum(w.numel() for w in params)
    m, v = (torch.zeros(n, dtype=params[0].dtype) for _ in range(2))

    def rule(g: Tensor, t: int) -> Tensor:
        m.mul_(betas[0]).add_((1 - betas[0]) * g)
        v.mul_(betas[1]).add_((1 - betas[1]) * g**2)
        return m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t)).sqrt() + eps)

    return split(
        params, loss, steps, rule, lr, betas[0], betas[0], approx_k, approx_l, num_iters_to_approx_eigs, alpha, 1.0
    )  # fmt: skip
