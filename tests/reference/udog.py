"""U-DoG: UniXGrad's extra-gradients with DoG's step sizes.

Sources: Kreisler, Ivgi, Hinder and Carmon, "Accelerated Parameter-Free Stochastic Optimization" (2024),
https://arxiv.org/abs/2404.00666; Kavis, Levy, Bach and Cevher, "UniXGrad" (2019), https://arxiv.org/abs/1910.13857

    r̄_t = max_{k≤t} {‖x_k - x₀‖, ‖y_k - x₀‖, r_ε};   ω_t = Σ_{k≤t} r̄_k;   α_t = ω_t/r̄_t
    m_t at (ω_t y_t + Σ_{k<t} ω_k x_{k+1}) / Σ_{k≤t} ω_k;    x_{t+1} = y_t - α_t r̄_t/√G_{x,t} m_t
    g_t at x̂_{t+1} = Σ_{k≤t} ω_k x_{k+1} / Σ_{k≤t} ω_k;       y_{t+1} = y_t - α_t r̄_t/√G_{y,t} g_t

The sums G are from memory, not verified: the largest α_k²‖·‖² of all gradients up to now, and Σ α_k² ‖g_k - m_k‖² of
what is known. Odd rows of gradients are m, even ones g; what is returned is where the next one is taken.
"""

from __future__ import annotations

from torch import Tensor

from reference.dog import norm

SMOOTH = False  # its first steps, of 1e-6, are too short for differences: test_parameter_free has longer ones
CASE = {"hyper": {"reps_rel": 1e-2}}


def sequences(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1.0, reps_rel: float = 1e-6, weight_decay: float = 0.0
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """Where the next gradient is taken, and x̂."""
    y, here, path, weights = list(params), list(params), [], []
    distances, changes, largest = [reps_rel * (1 + norm(params))], 0.0, 0.0
    mean = list(params)

    def average(with_y: float = 0.0) -> list[Tensor]:
        total = sum(weights) + with_y
        past = [sum((w * x[i] for w, x in zip(weights, path)), 0 * y[i]) for i in range(len(y))]
        return [(p + with_y * b) / total for p, b in zip(past, y)]

    for t, row in enumerate(grads):
        g = [a + weight_decay * b for a, b in zip(row, here)]
        omega = sum(distances)
        alpha = omega / distances[-1]
        largest = max(largest, (alpha * norm(g)) ** 2)
        if t % 2 == 0:
            m = g
            rate = lr * alpha * distances[-1] / (largest + changes) ** 0.5
            path.append([b - rate * a for a, b in zip(m, y)])
            weights.append(omega)
            here = mean = average()
        else:
            changes += (alpha * norm([a - b for a, b in zip(g, m)])) ** 2
            rate = lr * alpha * distances[-1] / (largest + changes) ** 0.5
            y = [b - rate * a for a, b in zip(g, y)]
            away = [norm([a - b for a, b in zip(z, params)]) for z in (path[-1], y)]
            distances.append(max(distances[-1], *away))
            here = average(sum(distances))
    return here, mean


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[0]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return sequences(params, grads, **hyper)[1]
