"""SPS with the smoothing of its experiments.

Source: Loizou, Vaswani, Laradji and Lacoste-Julien, "Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate
for Fast Convergence" (2021), https://arxiv.org/abs/2002.10542; authors' code https://github.com/IssamLaradji/sps
(adapt_flag "smooth_iter")

    γ ← min(τ^(1/b) γ, (f - f*) / (c ‖g‖² + ε));   w ← w - η (γ g + λ w)
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from reference.polyaksgd import gradient

CASES = [
    {},
    {
        "c": 0.2,
        "gamma": 3.0,
        "n_batches_per_epoch": 10,
        "init_step_size": 0.1,
        "lr": 0.7,
        "weight_decay": 0.1,
    },
]


def reference(
    params: list[Tensor], loss: Callable[[list[Tensor]], Tensor], steps: int, lr: float = 1.0, c: float = 0.5,
    gamma: float = 2.0, n_batches_per_epoch: int = 500, init_step_size: float = 1.0, f_star: float = 0.0,
    eps: float = 1e-8, weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    step = init_step_size
    for _ in range(steps):
        value, grads, size = gradient(loss, params)
        step = min(gamma ** (1 / n_batches_per_epoch) * step, (value - f_star) / (c * size + eps))
        params = [w - lr * (step * g + weight_decay * w) for w, g in zip(params, grads)]
    return params
