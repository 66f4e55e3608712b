"""Newton's method on sampled losses, filtered over the whole history.

Source: Burkhart, "Discriminative Bayesian filtering lends momentum to the stochastic Newton method for minimizing
log-convex functions" (2023), https://doi.org/10.1007/s11590-022-01895-5, and the filter's "robust" case from Burkhart,
Brandman, Franco, Hochberg and Harrison, "The discriminative Kalman filter for Bayesian filtering with nonlinear and
nongaussian observation models" (2020)

    m ← α m;    M = α² Σ + β I;    S = β / (1 - α²) I
    R = Q⁻¹ if Q⁻¹ - S⁻¹ > 0, else Q⁻¹ + S⁻¹;    Σ ← (M⁻¹ + R - S⁻¹)⁻¹;    m ← Σ (M⁻¹ m + R g)
    w ← w - s Σ⁻¹ m,  s the first of 1, 1/2, ..., 1/16 with f(w') - f(w) ≤ -c s gᵀ Σ⁻¹ m

with Q = ∇²f(w), from m = g, Σ = Q. `lr` multiplies s.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reference.rootnewton import laid


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor], int], Tensor],
    steps: int,
    lr: float = 1.0,
    alpha: float = 0.9,
    beta: float = 0.2,
    c: float = 0.95,
) -> list[Tensor]:
    x = torch.cat([w.flatten() for w in params])
    eye = torch.eye(len(x), dtype=x.dtype)
    s_inverse = (1 - alpha**2) / beta * eye
    mean, cover = torch.zeros_like(x), eye
    for t in range(steps):
        parts, f = laid(params, lambda w, t=t: loss(w, t))
        g, q = torch.func.grad(f)(x), torch.func.hessian(f)(x)
        if t == 0:
            mean, cover = g, q
        else:
            mean, before = alpha * mean, alpha**2 * cover + beta * eye
            r = torch.linalg.inv(q)
            if not bool((torch.linalg.eigvalsh(r - s_inverse) > 1e-6).all()):
                r = r + s_inverse
            cover = torch.linalg.inv(torch.linalg.inv(before) + r - s_inverse)
            mean = cover @ (torch.linalg.solve(before, mean) + r @ g)
        d = -torch.linalg.solve(cover + 1e-12 * eye, mean)
        for k in range(5):
            s = lr * 2.0**-k
            if f(x + s * d) - f(x) <= c * s * g.dot(d):
                break
        x = x + s * d
    return parts(x)
