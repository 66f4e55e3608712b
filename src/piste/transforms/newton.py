"""Newton's direction, as an oracle found it: how long a step along it may be, and what goes beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import basis, moment, total, transform
from ._numbers import where, wide


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


@transform(room="length", scope="tree", holds=("rule",), velocity=moment, S=basis("k m n"))
def split_step(
    g: Tensor, rows: Tensor | None, dot: Any, rule: Any, velocity: Tensor, S: Tensor, *, lr: float, k: int,
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
    S = S if rows is None else rows.to(S.dtype)
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
    scale = most.clamp(min=1.0).clamp(max=learning_rate_clip)
    return -lr * scale * other - where(lr == 0, 0.0, alpha) * newton, v, S


@transform(scope="tree", filtered=moment, covariance=basis("all m n"))
def filter_newton(
    g: Tensor, step: Any, rows: Tensor, filtered: Tensor, covariance: Tensor, *, alpha: float, beta: float
) -> Any:
    """Newton's direction from all gradients and Hessians so far, by a discriminative Kalman filter: each gradient is an
    observation, with the Hessian Q as its covariance, of a latent slope that moves as xₜ = αxₜ₋₁ + √β noise.

        M = α²Σ + βI;    S = β/(1-α²) I;    u = Σ⁻¹μ with
        Σ⁻¹ ← M⁻¹ + Q⁻¹ - S⁻¹;    μ ← Σ (αM⁻¹μ + Q⁻¹g)

    from μ = g, Σ = Q at the first step. Where Q⁻¹ - S⁻¹ is not positive, (Q⁻¹ + S⁻¹)⁻¹ takes Q's place, as the filter's
    authors have it. Eigenvalues of Q enter by their size, and at least 1e-10 of the largest.

    Reference: "Discriminative Bayesian filtering lends momentum to the stochastic Newton method for minimizing
    log-convex functions", Michael C. Burkhart, 2023, https://doi.org/10.1007/s11590-022-01895-5
    """
    n = g.numel()
    values, vectors = torch.linalg.eigh(wide(rows + rows.mT) / 2)
    values = values.abs().clamp(min=1e-10 * float(values.abs().amax()) or 1.0)
    Q = vectors @ (values.unsqueeze(-1) * vectors.mT)
    eye = torch.eye(n, dtype=Q.dtype, device=Q.device)
    mean, cover = wide(g), Q
    if step > 1:
        seen = vectors @ (vectors.mT / values.unsqueeze(-1))
        steady = (1 - alpha**2) / beta  # S⁻¹
        seen = seen if 1 / float(values.amax()) - steady > 1e-6 else seen + steady * eye
        before = torch.linalg.inv(alpha**2 * wide(covariance[:n]) + beta * eye)
        cover = torch.linalg.inv(before + seen - steady * eye)
        mean = cover @ (alpha * before @ wide(filtered) + seen @ wide(g))
    u = torch.linalg.solve(cover + 1e-12 * eye, mean)
    kept = torch.zeros_like(covariance)
    kept[:n] = cover.to(kept.dtype)
    return u.to(g.dtype), mean.to(g.dtype), kept
