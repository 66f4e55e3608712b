"""Polyak's step in the metric of a preconditioner: the loss itself says how far to go."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, total, transform
from ._numbers import where

SMALLEST = 1e-13  # of gᵀu, as in the authors' code: below nothing moves
slope = {"slope": total(lambda u, grad: u * grad, over="tree")}


@transform(sums=slope)
def scale_by_polyak(
    u: Tensor, loss: Tensor, slope: Tensor, *, f_star: float = 0.0, max_step: float = math.inf, c: float = 1.0
) -> Tensor:
    """γ = (f - f*) / c gᵀu;  u ← u min(γ, ``max_step``): behind a preconditioner, u = B⁻¹g, gᵀu = ‖g‖² in B⁻¹'s metric.

    For c = 1 the step to the nearest point, in B's metric, at which the linear model of the loss is f*.

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    Reference: "Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate for Fast Convergence", Nicolas Loizou,
    Sharan Vaswani, Issam Laradji, Simon Lacoste-Julien, 2021, https://arxiv.org/abs/2002.10542
    """
    step = _quotient(loss.to(slope.dtype) - f_star, slope) / c
    return u * step.clamp(min=0.0).clamp(max=max_step)


@transform(sums=slope, step_size=scalar(shared=True, fill="init_step_size"))
def scale_by_smooth_polyak(
    u: Tensor, loss: Tensor, slope: Tensor, step_size: Tensor, *, f_star: float = 0.0, c: float = 0.5,
    gamma: float = 2.0, n_batches_per_epoch: float = 500.0, init_step_size: float = 1.0, eps: float = 1e-8,
) -> Any:  # fmt: skip
    """γ_t = min(τ^(1/b) γ_{t-1}, (f - f*) / (c gᵀu + ε));  u ← γ_t u: it grows by at most τ in an epoch of b batches.

    Where gᵀu < 1e-16, or f is not above f*, nothing moves and γ stays.

    Reference: "Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate for Fast Convergence", Nicolas Loizou,
    Sharan Vaswani, Issam Laradji, Simon Lacoste-Julien, 2021, https://arxiv.org/abs/2002.10542
    """
    wide = slope.to(step_size.dtype)
    found = (loss.to(wide.dtype) - f_star) / (c * wide + eps)
    step = torch.minimum(step_size * gamma ** (1 / n_batches_per_epoch), found)
    moves = (wide >= 1e-16) & (found > 0)
    return u * torch.where(moves, step, 0.0).to(u.dtype), torch.where(moves, step, step_size)


@transform(sums=slope, slack=scalar)
def scale_by_polyak_l1(
    u: Tensor, loss: Tensor, slope: Tensor, slack: Tensor, *, penalty: float = 0.01
) -> Any:
    """Polyak's step to where the linear model of the loss is at most s, a slack that is penalized by λ|s|:

        γ̂ = max(0, f - s + λ) / (1 + gᵀu);   s ← max(0, s - λ + γ̂);   u ← u min(γ̂, f / gᵀu)

    For losses that do not vanish together at one point.

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    """
    f, s = loss.to(slope.dtype), slack.to(slope.dtype)
    found = (f - s + penalty).clamp(min=0.0) / (1 + slope)
    step = torch.minimum(found, _quotient(f, slope))
    moved = slope >= SMALLEST
    return u * step, torch.where(moved, (s - penalty + found).clamp(min=0.0), s).to(slack.dtype)


@transform(sums=slope, slack=scalar)
def scale_by_polyak_l2(
    u: Tensor, loss: Tensor, slope: Tensor, slack: Tensor, *, penalty: float = 0.01
) -> Any:
    """Polyak's step to where the linear model of the loss is at most s, a slack that is penalized by λs²:

        λ̂ = 1 / (1 + λ);   γ = max(0, f - λ̂s) / (gᵀu + λ̂);   s ← λ̂ (s + γ);   u ← γu

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    """
    f, s, hat = loss.to(slope.dtype), slack.to(slope.dtype), 1 / (1 + penalty)
    moved = slope >= SMALLEST
    step = torch.where(moved, (f - hat * s).clamp(min=0.0) / (slope + hat), 0.0)
    return u * step, torch.where(moved, hat * (s + step), s).to(slack.dtype)


def _quotient(gap: Tensor, slope: Tensor) -> Tensor:
    moved = slope >= SMALLEST
    return torch.where(moved, gap / torch.where(moved, slope, 1.0), 0.0)


@transform(invariant=("sign",), hessian_diagonal=moment, probes=scalar)
def scale_by_hessian_diagonal(
    g: Tensor, hvp: Tensor | None, vector: Tensor | None, hessian_diagonal: Tensor, probes: Tensor, *,
    beta: float = 0.999, alpha: float = 0.1,
) -> Any:  # fmt: skip
    """D ← the average of z ⊙ ∇²f z, weighted by βᵃᵍᵉ, over the random signs z so far;  u = g / max(|D|, α).

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    Reference: "An estimator for the diagonal of a matrix", Costas Bekas, Effrosyni Kokiopoulou, Yousef Saad, 2007,
    https://doi.org/10.1016/j.apnum.2007.01.003
    """
    d = hessian_diagonal
    if hvp is not None and vector is not None:
        probes = probes + 1
        weight = where(beta == 1, 1 / probes, (1 - beta) / (1 - beta**probes))
        d = d + weight.to(d.dtype) * (vector * hvp - d)
    return g / d.abs().clamp(min=alpha), d, probes
