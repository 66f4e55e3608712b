"""Steps as long as the way that was gone, over the gradients that were met: DoG, by tree and by tensor, and U-DoG."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, total, transform, weights
from .adaptation import held_at_zero


def _rate(
    gone: Tensor, start: Tensor, size: Tensor, farthest: Tensor, gradients: Tensor, reps_rel: float
) -> tuple[Tensor, Tensor, Tensor]:
    """r̄/√G, r̄ and G, from the squares ‖x - x₀‖², ‖x₀‖² and ‖g‖²: r̄ is r_ε at first, and then the farthest so far."""
    first = reps_rel * (1 + start.sqrt())
    r = torch.where(farthest == 0, first, torch.maximum(farthest, gone.sqrt()))
    met = gradients + size
    return _over(r, met), r, met


def _over(distance: Tensor, gradients: Tensor) -> Tensor:
    """r̄/√G, and 0 where no gradient has been met."""
    return torch.where(gradients > 0, distance / torch.where(gradients > 0, gradients, 1.0).sqrt(), 0.0)


@transform(
    sums={
        "gone": total(lambda param, initial: (param - initial).square(), over="tree"),
        "start": total(lambda initial: initial.square(), over="tree"),
        "size": total(lambda u: u.square(), over="tree"),
    },
    initial=weights,
    farthest=scalar(shared=True),
    gradients=scalar(shared=True, fill="eps"),
)
def scale_by_dog(
    u: Tensor, gone: Tensor, start: Tensor, size: Tensor, farthest: Tensor, gradients: Tensor, *,
    reps_rel: float = 1e-6, eps: float = 1e-8,
) -> Any:  # fmt: skip
    """r̄ ← max(r̄, ‖p - p₀‖), r_ε(1 + ‖p₀‖) at first;   G ← G + ‖u‖², from ε;   u ← u r̄ / √G, over all parameters.

    Reference: "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule", Maor Ivgi, Oliver Hinder, Yair
    Carmon, 2023, https://arxiv.org/abs/2302.12022
    """
    rate, r, met = _rate(gone, start, size, farthest, gradients, reps_rel)
    return u * rate.to(u.dtype), None, r, met


@transform(scope="tensor", initial=weights, farthest=scalar, gradients=scalar(fill="eps"))
def scale_by_layerwise_dog(
    u: Tensor, param: Tensor, initial: Tensor, farthest: Tensor, gradients: Tensor, *, reps_rel: float = 1e-6,
    eps: float = 1e-8,
) -> Any:  # fmt: skip
    """As :func:`scale_by_dog`, for every tensor by itself.

    Reference: "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule", Maor Ivgi, Oliver Hinder, Yair
    Carmon, 2023, https://arxiv.org/abs/2302.12022
    """
    gone, start, size = (x.square().sum().to(farthest.dtype) for x in (param - initial, initial, u))
    rate, r, met = _rate(gone, start, size, farthest, gradients, reps_rel)
    return u * rate.to(u.dtype), None, r, met


@transform(room="delta", average=weights)
def average_polynomially(u: Tensor, param: Tensor, step: Any, average: Tensor, *, gamma: float = 8.0) -> Any:
    """a ← a + (1+γ)/(t+γ) (p + δ - a): the point of step τ weighs about τ^γ. The view is a.

    γ = 8 is what DoG's authors take; 0 is the plain mean.

    Reference: "Stochastic Gradient Descent for Non-smooth Optimization: Convergence Results and Optimal Averaging
    Schemes", Ohad Shamir, Tong Zhang, 2013, https://proceedings.mlr.press/v28/shamir13.html
    """
    return u, average + (1 + gamma) / (step + gamma) * (param + u - average)


@average_polynomially.view
def polynomial_average(average: Tensor) -> Tensor:
    """The average that leaves the beginning behind."""
    return average


_OWN = scalar(shared=True)


@transform(
    room="length", scope="tree", initial=weights, y=weights, average=weights, first_grad=moment, half=_OWN,
    farthest=_OWN, reached=_OWN, weight=_OWN, weight_sum=_OWN, changes=_OWN, largest=_OWN,
)  # fmt: skip
def descend_udog(
    g: Tensor, param: Tensor, dot: Any, initial: Tensor, y: Tensor, average: Tensor, first_grad: Tensor,
    half: Tensor, farthest: Tensor, reached: Tensor, weight: Tensor, weight_sum: Tensor, changes: Tensor,
    largest: Tensor, *, lr: float, reps_rel: float = 1e-6,
) -> Any:  # fmt: skip
    """An extra-gradient step with DoG's lengths takes two calls. With ω = Σ r̄ up to now, α = ω/r̄, and x̂ the average of
    the points x weighted by ω:

        m, at (ωy + Σ₋ω x̂)/Σω:   x ← y - αη r̄/√G_x m,   G_x = Q + M;    x̂ ← (Σ₋ω x̂ + ωx)/Σω
        g, at x̂:                  Q ← Q + α²‖g - m‖²;   y ← y - αη r̄/√G_y g,   G_y = Q + M;    r̄ ← max(r̄, ‖x - x₀‖,
                                  ‖y - x₀‖)

    M, the largest α²‖m‖² or α²‖g‖² so far, bounds every step by ηr̄. Σ₋ω is without the present ω. The weights that the
    model holds are where the next gradient is taken; the view is x̂. At η = 0 nothing moves, nor counts.

    Reference: "Accelerated Parameter-Free Stochastic Optimization", Itai Kreisler, Maor Ivgi, Oliver Hinder, Yair
    Carmon, 2024, https://arxiv.org/abs/2404.00666
    Reference: "UniXGrad: A Universal, Adaptive Algorithm with Optimal Guarantees for Constrained Optimization", Ali
    Kavis, Kfir Y. Levy, Francis Bach, Volkan Cevher, 2019, https://arxiv.org/abs/1910.13857
    """
    second = half > 0
    first_r = reps_rel * (1 + dot(initial, initial).sqrt())
    r, omega, total = (torch.where(farthest == 0, first_r, x) for x in (farthest, weight, weight_sum))
    alpha = omega / r
    change = g - first_grad
    new_changes = changes + torch.where(second, alpha.square() * dot(change, change), 0.0)
    new_largest = torch.maximum(largest, alpha.square() * dot(g, g))
    z = y - alpha * lr * _over(r, new_changes + new_largest) * g
    far = torch.maximum(reached, dot(z - initial, z - initial).sqrt())
    r = torch.where(second, torch.maximum(r, far), r)
    omega = torch.where(second, omega + r, omega)
    total = torch.where(second, total + omega, total)
    here = average + omega / total * (z - average)
    new = (
        here - param, torch.where(second, z, y), torch.where(second, average, here),
        torch.where(second, first_grad, g), 1 - half, r, far, omega, total, new_changes, new_largest,
    )  # fmt: skip
    old = (
        torch.zeros_like(g), y, average, first_grad, half, farthest, reached, weight, weight_sum, changes, largest
    )  # fmt: skip
    delta, *kept = held_at_zero(lr, new, old)
    return delta, None, *kept


@descend_udog.view
def weighted_average(average: Tensor) -> Tensor:
    """x̂, the average that the method returns."""
    return average
