"""Online learners that choose the steps, and the walk along the steps they choose."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, transform, weights
from ._numbers import where


@transform(scope="tree", invariant=("sign",), learned=moment)
def learn_in_ball(g: Tensor, dot: Any, learned: Tensor, *, gain: float) -> Any:
    """v ← v + κg, shortened to length 1 where it is longer (all tensors as one vector); u = v.

    Behind it ``descend(lr)`` takes Δ = -ηv: online gradient descent of the linear losses ⟨g, Δ⟩ over the ball of radius
    η, at the rate κη.

    Reference: "Online Convex Programming and Generalized Infinitesimal Gradient Ascent", Martin Zinkevich, 2003,
    https://aaai.org/papers/icml03-120-online-convex-programming-and-generalized-infinitesimal-gradient-ascent/
    """
    moved = learned + gain * g
    v = moved / dot(moved, moved).sqrt().clamp(min=1).to(moved.dtype)
    return v, v


@transform(room="delta", path=weights)
def walk_along(u: Tensor, param: Tensor, path: Tensor, *, lr: float, share: float) -> Any:
    """w ← x + sδ;  x ← x + δ: the next gradient is taken at the share s of the step; the view is x.

    With s uniform on [0, 1], E⟨∇F(w), δ⟩ = F(x + δ) - F(x) whatever F is, so long as it is differentiable almost
    everywhere along the way. A step at η = 0 moves nothing (w is not taken back to x).

    Reference: "Optimal Stochastic Non-smooth Non-convex Optimization through Online-to-Non-convex Conversion",
    Ashok Cutkosky, Harsh Mehta, Francesco Orabona, 2023, https://arxiv.org/abs/2302.03775
    """
    return where(lr == 0, u, path + share * u - param), path + u


@walk_along.view
def walked(path: Tensor) -> Tensor:
    """x, the ends of the steps."""
    return path
