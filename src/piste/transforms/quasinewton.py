"""Curvature from the changes of the gradient along the path."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, ring, transform, weights
from ._numbers import where


@transform(scope="tree", last_param=weights, last_grad=moment, s=ring("history_size"), y=ring("history_size"))
def scale_by_lbfgs(
    g: Tensor, param: Tensor, step: Any, dot: Any, last_param: Tensor, last_grad: Tensor, s: Tensor, y: Tensor, *,
    history_size: int = 10,
) -> Any:  # fmt: skip
    """u = Hg, H the inverse Hessian that the last pairs s = Δp, y = Δg imply, from H₀ = (yᵀs / yᵀy) I.

        newest to oldest:  α = sᵀq / yᵀs;  q ← q - αy        from q = g
        oldest to newest:  q ← q + s (α - yᵀq / yᵀs)         from q = H₀q

    A pair with yᵀs ≤ 1e-10 is not kept. At the first step u = g min(1, 1/‖g‖₁).

    Reference: "On the limited memory BFGS method for large scale optimization", Dong C. Liu, Jorge Nocedal, 1989,
    https://doi.org/10.1007/BF01589116
    """
    new_s, new_y = param - last_param, g - last_grad
    kept = bool(dot(new_y, new_s) > 1e-10)  # a host decision: whether the windows move
    pairs = list(zip(s.unbind(), y.unbind(), strict=True))
    pairs = [*pairs[1:], (new_s, new_y)] if kept else pairs
    curvature = [dot(b, a) for a, b in pairs]  # 0 in a window that is not full yet
    inverse = [torch.where(c > 0, 1 / torch.where(c > 0, c, 1.0), 0.0) for c in curvature]
    q, alphas = g, []
    for (a, b), rho in zip(reversed(pairs), reversed(inverse), strict=True):
        alphas.append(rho * dot(a, q))
        q = q - alphas[-1] * b
    newest, scale = pairs[-1][1], curvature[-1]
    q = q * torch.where(scale > 0, scale / torch.where(scale > 0, dot(newest, newest), 1.0), 1.0)
    for (a, b), rho, alpha in zip(pairs, inverse, reversed(alphas), strict=True):
        q = q + a * (alpha - rho * dot(b, q))
    first = 1 / dot(g, g.sign()).clamp(min=1.0)  # ‖g‖₁
    return q * where(step == 1, first, 1.0), param, g, new_s if kept else None, new_y if kept else None


@transform(scope="tree", last_grad=moment, direction=moment)
def conjugate(g: Tensor, dot: Any, last_grad: Tensor, direction: Tensor) -> Any:
    """u = g + βd, d the last u, β = max(0, gᵀ(g - g₋) / g₋ᵀg₋): nonlinear conjugate gradients, Polak and Ribière's β.

    Where u would point uphill (gᵀu ≤ 0) it starts again from g. For a line search that is close to exact.

    Reference: "Note sur la convergence de méthodes de directions conjuguées", E. Polak, G. Ribière, 1969,
    https://doi.org/10.1051/m2an/196903R100351
    """
    size = dot(last_grad, last_grad)
    beta = torch.where(size > 0, dot(g, g - last_grad) / torch.where(size > 0, size, 1.0), 0.0).clamp(min=0.0)
    u = g + beta * direction
    u = torch.where(dot(g, u) > 0, u, g)
    return u, g, u
