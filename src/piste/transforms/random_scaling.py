"""Steps of random length, the momentum that goes with them, and the mean of their path."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, transform, weights
from ._numbers import inverse


@transform(invariant=("sign",), momentum_buffer=moment)
def regularized_trace(u: Tensor, momentum_buffer: Tensor, *, lr: float, beta: float, mu: float = 0.0) -> Any:
    """m ← β/(1 + ημ) (m + u);  u = m: mirror descent on the discounted losses β^-t (⟨g, Δ⟩ + μ/2 ‖Δ‖²), Δ = -ηm.

    Reference: "Random Scaling and Momentum for Non-smooth Non-convex Optimization", Qinzi Zhang, Ashok Cutkosky, 2024,
    https://arxiv.org/abs/2405.09742
    """
    m = beta / (1 + lr * mu) * (momentum_buffer + u)
    return m, m


@transform(room="delta", invariant=("sign",))
def scale_step(u: Tensor, *, factor: float) -> Tensor:
    """δ ← sδ, with one number s for all parameters. For s exponentially distributed (of mean 1) every function has
    E F(x + sδ) - F(x) = E⟨∇F(x + sδ), δ⟩: to first order it is the linear function that its gradients tell of.

    Reference: "Random Scaling and Momentum for Non-smooth Non-convex Optimization", Qinzi Zhang, Ashok Cutkosky, 2024,
    https://arxiv.org/abs/2405.09742
    """
    return factor * u


@transform(room="delta", average=weights)
def discounted_mean(u: Tensor, param: Tensor, step: Any, average: Tensor, *, decay: float) -> Any:
    """a ← a + (1-β)/(1-βᵗ) (p - a): the mean of the points at which gradients were taken, older ones discounted by β.

    Unlike ``ema_weights`` it gives the first point no more than its share, and does not hold the new point.

    Reference: "Random Scaling and Momentum for Non-smooth Non-convex Optimization", Qinzi Zhang, Ashok Cutkosky, 2024,
    https://arxiv.org/abs/2405.09742
    """
    return u, average + (1 - decay) * inverse(1 - decay**step) * (param - average)


@discounted_mean.view
def mean_of_path(average: Tensor) -> Tensor:
    """The discounted mean."""
    return average
