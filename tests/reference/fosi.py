"""FOSI with heavy ball: Newton in the span of extreme eigenvectors, momentum elsewhere.

Source: Sivan, Gabel and Schuster, "FOSI: Hybrid First and Second Order Optimization" (2024),
https://arxiv.org/abs/2302.08484; authors' code https://github.com/hsivan/fosi

    at t = T, 2T, ...:  v, λ ← the k largest and the l smallest eigenpairs of ∇²f(w)
    g₁ = Σ v (vᵀ g);    m ← μ m + g₁;    d₁ = Σ v (vᵀ m) / |λ|
    b ← μ b + (g - g₁);    d₂ = b without its part along v
    w ← w - α d₁ - η c d₂,    c = |λ_max| / |λ_k| (the smallest of the k largest), within [1, clip]

The authors find the pairs by Lanczos' method from a random vector, with max(4 (k+l), 2 ln n) products; here they are
exact, so the tests take problems with few weights, where Lanczos' method is, too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reference.rootnewton import laid

PROBLEM = "logistic"
TOLERANCE = 1e-5
CASES = [
    {"approx_k": 2, "approx_l": 1, "num_iters_to_approx_eigs": 4},
    {"approx_k": 3, "num_iters_to_approx_eigs": 6, "alpha": 0.5, "momentum": 0.5, "learning_rate_clip": 1.5},
]


def split(
    params: list[Tensor], loss: Callable[[list[Tensor]], Tensor], steps: int, rule: Callable[[Tensor, int], Tensor],
    lr: float, momentum: float, dampening: float, k: int, l: int, period: int, alpha: float, clip: float,
) -> list[Tensor]:  # fmt: skip
    parts, f = laid(params, loss)
    x = torch.cat([w.flatten() for w in params])
    m, v, sizes = torch.zeros_like(x), torch.zeros(0, len(x), dtype=x.dtype), torch.ones(0, dtype=x.dtype)
    for t in range(1, steps + 1):
        g = torch.func.grad(f)(x)
        if t % period == 0:
            values, vectors = torch.linalg.eigh(torch.func.hessian(f)(x))
            chosen = [*range(l), *range(len(x) - k, len(x))]
            v, sizes = vectors.mT[chosen], values[chosen].abs()
        g1 = v.mT @ (v @ g)
        m = momentum * m + (1 - dampening) * g1
        newton = v.mT @ ((v @ m) / sizes)
        d = rule(g - g1, t)
        d = d - v.mT @ (v @ d)
        c = min(max(float(sizes[-1] / sizes[l]), 1.0), clip) if len(sizes) else 1.0
        x = x - alpha * newton - lr * c * d
    return parts(x)


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 0.1,
    momentum: float = 0.9,
    approx_k: int = 5,
    approx_l: int = 0,
    num_iters_to_approx_eigs: int = 100,
    alpha: float = 0.1,
    learning_rate_clip: float = 3.0,
) -> list[Tensor]:
    kept = torch.zeros(sum(w.numel() for w in params), dtype=params[0].dtype)

    def rule(g: Tensor, t: int) -> Tensor:
        kept.mul_(momentum).add_(g)
        return kept.clone()

    return split(
        params, loss, steps, rule, lr, momentum, 0.0, approx_k, approx_l, num_iters_to_approx_eigs, alpha,
        learning_rate_clip,
    )  # fmt: skip
