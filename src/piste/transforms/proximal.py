"""Steps for losses with a part that has a kink, and the extrapolation that makes them accelerated."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import transform, weights


@transform(room="delta")
def prox_l1(u: Tensor, param: Tensor, *, lr: float, weight: float) -> Tensor:
    """p + δ ← sign(p + δ) max(|p + δ| - ηλ, 0): the step of the loss, then the proximal one of λ‖p‖₁.

    Weights that the threshold reaches are exactly 0.

    Reference: "Signal Recovery by Proximal Forward-Backward Splitting", Patrick L. Combettes, Valérie R. Wajs, 2005,
    https://doi.org/10.1137/050626090
    """
    ahead, threshold = param + u, lr * weight
    over, under = ahead.clamp(min=threshold) - threshold, ahead.clamp(max=-threshold) + threshold
    return over + under - param


@transform(room="delta", last=weights)
def extrapolate(u: Tensor, param: Tensor, step: Any, last: Tensor) -> Any:
    """x ← p + δ; p ← x + (t-1)/(t+2) (x - last x): the gradient is taken ahead of x, the view is x.

    Behind ``descend`` it is Nesterov's method for convex functions, behind a proximal step FISTA; that (t-1)/(t+2)
    keeps the bound of the authors' sequence was noted by Tseng.

    Reference: "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems", Amir Beck, Marc
    Teboulle, 2009, https://doi.org/10.1137/080716542
    """
    x = param + u
    return u + (step - 1) / (step + 2) * (x - last), x


@extrapolate.view
def behind_extrapolation(last: Tensor) -> Tensor:
    """x, the point behind the one where gradients are taken."""
    return last
