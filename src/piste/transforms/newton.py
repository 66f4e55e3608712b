"""Newton's direction, as an oracle found it: how long a step along it may be, and what goes beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import basis, moment, total, transform
from ._numbers import where


@transform
def follow(g: Tensor, vector: Tensor | None) -> Tensor:
    """u = the direction that the oracle gives; the gradient where it gives none."""
    return g if vector is None else vector


@transform(sums={"decrement": total(lambda u, vector: u * vector, over="tree")})
def scale_by_root_newton(
    g: Tensor, vector: Tensor, decrement: Tensor, *, smoothness: float, q: float
) -> Tensor:
    """Newton's direction n = |∇²f|⁻¹g, shortened the more the larger the gradient is in the Hessian's own metric:

        u = n / (1 + θ),    θ = (9M)^(1/(q-1)) γ^((q-2)/(q-1)),    γ² = gᵀn

    for functions whose derivative of order p is Hölder continuous of degree q - p, with the constant M
    (``smoothness``), in the norm of the Hessian.

    Reference: "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate", Slavomír Hanzely,
    Farshed Abdukhakimov, Martin Takáč, 2024, https://arxiv.org/abs/2405.18926
    """
    size = decrement.clamp(min=0).sqrt()
    theta = (9 * smoothness) ** (1 / (q - 1)) * size ** ((q - 2) / (q - 1))
    return vector / (1 + theta)


@transform(room="length", scope="tree", holds=("rule",), velocity=moment, S=basis("rows m n"))
def split_step(
    g: Tensor, subspace: Tensor | None, dot: Any, rule: Any, velocity: Tensor, S: Tensor, *, lr: float, rows: int,
    momentum: float, dampening: float, alpha: float, learning_rate_clip: float, approx_l: int = 0,
) -> Any:  # fmt: skip
    """Newton in the span of a few eigenvectors v of the Hessian, any rule on what is orthogonal to them:

        g₁ = Σ v (vᵀg);    m ← μm + (1 - τ)g₁;    d₁ = Σ v (vᵀm) / |λ|
        d₂ = rule(g - g₁), made orthogonal to every v
        δ = -α d₁ - η c d₂,    c = the first |1/λ| of the largest over the smallest one, within [1, ``clip``]

    S holds the rows v/√|λ|. Before it is known δ = -η rule(g). A step at η = 0 moves nothing.

    Reference: "FOSI: Hybrid First and Second Order Optimization", Hadar Sivan, Moshe Gabel, Assaf Schuster, 2024,
    https://arxiv.org/abs/2302.08484
    """
    S = S if subspace is None else subspace.to(S.dtype)
    rates = torch.stack([dot(s, s) for s in S])  # |1/λ|
    known = rates > 0
    inverse = torch.where(known, 1 / torch.where(known, rates, 1.0), 0.0)

    def inside(x: Tensor, weight: Tensor) -> Tensor:
        return (weight * torch.stack([dot(s, x) for s in S])) @ S

    g1 = inside(g, inverse)
    v = momentum * velocity + (1 - dampening) * g1
    newton = inside(v, torch.ones_like(rates))
    other = rule(g - g1)
    other = other - inside(other, inverse)
    most = torch.where(known[-1], rates[approx_l] * inverse[-1], 1.0)
    scale = most.clamp(min=1.0, max=learning_rate_clip)
    return -lr * scale * other - where(lr == 0, 0.0, alpha) * newton, v, S
