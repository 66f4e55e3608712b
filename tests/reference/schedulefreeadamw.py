"""Schedule-free AdamW.

Source: Defazio et al., "The Road Less Scheduled" (2024), https://arxiv.org/abs/2405.15682, algorithm 1;
authors' code https://github.com/facebookresearch/schedule_free (AdamWScheduleFreeReference)

    g = ∇f(y)                            γₜ = η min(1, t / warmup_steps)
    v ← β₂ v + (1 - β₂) g²               v̂ = v / (1 - β₂ᵗ)
    z ← z - γₜ λ y - γₜ g / (√v̂ + ε)     `decay_at_z`: the decay is λ z; `inner_momentum` μ: m̂ in place of g,
                                         m ← μ m + (1 - μ) g,  m̂ = m / (1 - μᵗ)
    x ← (1 - c) x + c z                  c = ωₜ / Σ ω,  ωₜ = tʳ (max γ so far)^weight_lr_power
    y ← β₁ x + (1 - β₁) z

Where things differ: the paper's algorithm folds the bias correction into the step size,
γₜ = η √(1 - β₂ᵗ) min(1, t / warmup) with g / (√v + ε), which the code's first versions did too; it makes the
early steps' averaging weights ωₜ smaller and scales ε. The present code corrects v instead and lets γₜ be the
warmed-up rate: `form="code"` (default); `form="paper"` selects the other.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sequences(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 2.5e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    decay_at_z: bool = False,
    inner_momentum: float = 0.0,
    form: str = "code",
) -> tuple[list[Tensor], list[Tensor]]:
    """The final x and y of every parameter."""
    beta1, beta2 = betas
    xs, ys = [], []
    for i, w in enumerate(params):
        x = y = z = w
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        largest, total = 0.0, 0.0
        for t, step in enumerate(grads, start=1):
            g = step[i]
            size = lr * min(1.0, t / warmup_steps) if warmup_steps else lr
            v = beta2 * v + (1 - beta2) * g**2
            correction = 1 - beta2**t
            m = inner_momentum * m + (1 - inner_momentum) * g
            m_hat = m / (1 - inner_momentum**t)
            if form == "paper":
                size = size * correction**0.5
                direction = m_hat / (v.sqrt() + eps)
            else:
                direction = m_hat / ((v / correction).sqrt() + eps)
            largest = max(largest, size)
            weight = t**r * largest**weight_lr_power
            total += weight
            c = weight / total if total else 0.0
            z = z - size * weight_decay * (z if decay_at_z else y) - size * direction
            x = (1 - c) * x + c * z
            y = beta1 * x + (1 - beta1) * z
        xs.append(x)
        ys.append(y)
    return xs, ys


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: object) -> list[Tensor]:
    """Where the gradient is taken next: y."""
    return sequences(params, grads, **hyper)[1]  # type: ignore[arg-type]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: object) -> list[Tensor]:
    """The weights to evaluate: x."""
    return sequences(params, grads, **hyper)[0]  # type: ignore[arg-type]
