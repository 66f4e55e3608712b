"""For heavy-tailed noise, and for losses whose curvature grows with their slope: delayed rates, similar triangles,
powers of the norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import scalar, square, total, transform, weights
from ._numbers import where


@transform(
    invariant=("sign",),
    sums={"norm_sq": total(lambda u: u.square(), over="tree")},
    sum=scalar(shared=True, fill="initial_accumulator_value"),
)
def scale_by_delayed_adagrad_norm(
    u: Tensor, norm_sq: Tensor, sum: Tensor, *, eta: float = 1.0, initial_accumulator_value: float = 1e-4
) -> Any:
    """u ← g/b, and then b² ← b² + η‖g‖²: AdaGrad with one rate for all that today's gradient does not yet bear on.

    Reference: "Gradient Clipping Improves AdaGrad when the Noise Is Heavy-Tailed", Savelii Chezhegov, Yaroslav Klyukin,
    Andrei Semenov, Aleksandr Beznosikov, Alexander Gasnikov, Samuel Horváth, Martin Takáč, Eduard Gorbunov, 2024,
    https://arxiv.org/abs/2406.04443
    """
    return u / sum.sqrt().to(u.dtype), sum + eta * norm_sq


@transform(invariant=("sign",), sum=square(fill="initial_accumulator_value"))
def scale_by_delayed_adagrad(
    g: Tensor, sum: Tensor, *, eta: float = 1.0, eps: float = 1e-10, initial_accumulator_value: float = 1e-4
) -> Any:
    """u = g / (√s + ε), and then s ← s + ηg²: the same for every coordinate.

    Reference: "Gradient Clipping Improves AdaGrad when the Noise Is Heavy-Tailed", Savelii Chezhegov, Yaroslav Klyukin,
    Andrei Semenov, Aleksandr Beznosikov, Alexander Gasnikov, Samuel Horváth, Martin Takáč, Eduard Gorbunov, 2024,
    https://arxiv.org/abs/2406.04443
    """
    return g / (sum.sqrt() + eps), sum + eta * g.square()


def _weight(step: Any) -> Any:
    """a_t / A_t with a_t = t + 1, A_t = a_1 + … + a_t."""
    return 2 * (step + 1) / (step * (step + 3))


@transform(room="delta", z=weights, share=scalar)
def similar_triangles(u: Tensor, param: Tensor, step: Any, z: Tensor, share: Tensor, *, lr: float) -> Any:
    """Nesterov's acceleration by similar triangles, of a step δ taken at the weights x:

        z ← z + a_t δ;    y ← x + (a_t/A_t) a_t δ;    x ← (A_t y + a_{t+1} z) / A_{t+1}
        a_t = (t+1)/2,  A_t = a_1 + … + a_t

    x is where gradients are taken, y what is proven of: the view. It is not kept but recovered from x and z. A step at
    η = 0 moves nothing.

    Reference: "Stochastic Optimization with Heavy-Tailed Noise via Accelerated Gradient Clipping", Eduard Gorbunov,
    Marina Danilova, Alexander Gasnikov, 2020, https://arxiv.org/abs/2005.10785
    """
    far = (step + 1) / 2 * u
    here, ahead = _weight(step) * far, _weight(step + 1)
    new = z + far
    return (
        here + where(lr == 0, 0.0, ahead) * (new - param - here),
        new,
        where(lr == 0, share, 0.0 * share + ahead),
    )


@similar_triangles.view
def triangle_point(param: Tensor, z: Tensor, share: Tensor) -> Tensor:
    """y, between the weights and z."""
    return (param - share * z) / (1 - share)


@transform(invariant=("sign",), sums={"norm_sq": total(lambda u: u.square(), over="tree")})
def divide_by_norm_power(u: Tensor, norm_sq: Tensor, *, power: float = 1.0) -> Tensor:
    """u / ‖u‖^β with the length over all parameters, 0 where it is: 1 is the normalized gradient, 0 the plain one.

    Reference: "Generalized-Smooth Nonconvex Optimization is As Efficient As Smooth Nonconvex Optimization", Ziyi Chen,
    Yi Zhou, Yingbin Liang, Zhaosong Lu, 2023, https://arxiv.org/abs/2303.02854
    """
    return torch.where(norm_sq > 0, u / torch.where(norm_sq > 0, norm_sq, 1.0) ** (power / 2), 0.0)
