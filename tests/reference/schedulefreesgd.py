"""Schedule-free SGD.

Source: Defazio et al., "The Road Less Scheduled" (2024), https://arxiv.org/abs/2405.15682; authors' code
https://github.com/facebookresearch/schedule_free (SGDScheduleFreeReference)

Three sequences, all starting at w: z takes the steps, x averages them, the gradient is taken at y (so the
model holds y while training, and x when evaluated):

    g ← ∇f(y) + λ y                      γₜ = η min(1, t / warmup_steps)
    z ← z - γₜ g
    x ← (1 - c) x + c z                  c = ωₜ / Σ ω,  ωₜ = tʳ (max γ so far)^weight_lr_power
    y ← β x + (1 - β) z                  β = momentum

c is 0 while all ω are 0 (η = 0). The paper's theory has c = 1 / t (r = 0, no warm-up); the weighting by the
learning rate is in its section on practice and in the code's defaults.
"""

from __future__ import annotations

from torch import Tensor


def sequences(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> tuple[list[Tensor], list[Tensor]]:
    """The final x and y of every parameter."""
    xs, ys = [], []
    for i, w in enumerate(params):
        x = y = z = w
        largest, total = 0.0, 0.0
        for t, step in enumerate(grads, start=1):
            g = step[i] + weight_decay * y
            size = lr * min(1.0, t / warmup_steps) if warmup_steps else lr
            largest = max(largest, size)
            weight = t**r * largest**weight_lr_power
            total += weight
            c = weight / total if total else 0.0
            z = z - size * g
            x = (1 - c) * x + c * z
            y = momentum * x + (1 - momentum) * z
        xs.append(x)
        ys.append(y)
    return xs, ys


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    """Where the gradient is taken next: y."""
    return sequences(params, grads, **hyper)[1]  # type: ignore[arg-type]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    """The weights to evaluate: x."""
    return sequences(params, grads, **hyper)[0]  # type: ignore[arg-type]
