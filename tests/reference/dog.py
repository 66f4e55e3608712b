"""DoG: distance over gradients.

Source: Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule" (2023),
https://arxiv.org/abs/2302.12022; authors' code https://github.com/formll/dog

    r̄_t = max_{i≤t} ‖x_i - x₀‖, r_ε = reps_rel (1 + ‖x₀‖) for t = 0;   G_t = ε + Σ_{i≤t} ‖g_i‖²
    x_{t+1} = x_t - c r̄_t/√G_t g_t;    x̄_t = (1 - (1+γ)/(t+γ)) x̄_{t-1} + (1+γ)/(t+γ) x_t
"""

from __future__ import annotations

from torch import Tensor

CASE = {"hyper": {"reps_rel": 1e-2}}


def norm(several: list[Tensor]) -> float:
    return float(sum((x**2).sum() for x in several)) ** 0.5


def sequences(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, reps_rel: float = 1e-6, eps: float = 1e-8,
    weight_decay: float = 0.0, gamma: float = 8.0,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """The last x and its average."""
    x, mean = list(params), list(params)
    farthest, total = reps_rel * (1 + norm(params)), eps
    for t, row in enumerate(grads, start=1):
        g = [a + weight_decay * b for a, b in zip(row, x)]
        farthest = max(farthest, norm([a - b for a, b in zip(x, params)]))
        total += norm(g) ** 2
        x = [a - lr * farthest / total**0.5 * b for a, b in zip(x, g)]
        share = (1 + gamma) / (t + gamma)
        mean = [(1 - share) * a + share * b for a, b in zip(mean, x)]
    return x, mean


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[0]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[1]
