"""Steps taken from mechanics: a body on an inclined plane, and a flow that is integrated half implicitly."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import largest, moment, scalar, transform, weights
from ._numbers import ratio


@transform(
    sums={"steepest": largest(lambda u: u.abs())},
    only={"noise": "start"},
    velocity=moment,
)
def scale_by_gravity(
    g: Tensor, step: Any, noise: Tensor | None, steepest: Tensor, velocity: Tensor, *,
    lr: float, alpha: float = 0.01, beta: float = 0.9, start: bool = False,
) -> Any:  # fmt: skip
    """The average of a slope that is damped where it is steep.

        ζ = g / (1 + (g max|g|)²);   V ← β̂V + (1-β̂)ζ,   β̂ = (βt + 1) / (t + 2);   u = V

    The maximum is the tensor's. ``start`` holds in the first step, before which V is drawn from N(0, (α/η)²).

    Reference: "Gravity Optimizer: a Kinematic Approach on Optimization in Deep Learning", Dariush Bahrami, Sadegh
    Pouriyan Zadeh, 2021, https://arxiv.org/abs/2101.09192
    """
    if noise is not None:
        velocity = ratio(alpha, lr) * noise
    zeta = g / (1 + (g * steepest).square())
    blend = (beta * step + 1) / (step + 2)
    v = blend * velocity + (1 - blend) * zeta
    return v, v


@transform(room="length", v=weights, gamma=scalar(fill="gamma0"))
def flow_half_implicitly(
    u: Tensor, param: Tensor, v: Tensor, gamma: Tensor, *, lr: float, mu: float, gamma0: float
) -> Any:
    """A Gauss-Seidel step of size α = ``lr`` along Nesterov's accelerated flow.

        v ← v + α / (αμ + γ) (μ(p - v) - u)
        p ← p + a (v - p),   γ ← γ + a (μ - γ),   a = α / (1 + α)

    v starts at the weights, γ at ``gamma0``.

    Reference: "NAG-GS: Semi-Implicit, Accelerated and Robust Stochastic Optimizer", Valentin Leplat, Daniil Merkulov,
    Aleksandr Katrutsa, Daniel Bershatsky, Olga Tsymboi, Ivan Oseledets, 2022, https://arxiv.org/abs/2209.14937
    """
    a = lr / (1 + lr)
    ahead = v + (lr / (lr * mu + gamma)).to(u.dtype) * (mu * (param - v) - u)
    return a * (ahead - param), ahead, gamma + a * (mu - gamma)
