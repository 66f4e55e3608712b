"""Adam with its L2 penalty inside the gradient.

Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), https://arxiv.org/abs/1412.6980

    g ← g + λ w
    m ← β₁ m + (1 - β₁) g                v ← β₂ v + (1 - β₂) g²
    w ← w - η m̂ / (√v̂ + ε)              m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)

`eps_hat=True` selects the rearranged form at the end of the paper's section 2, where ε is added to √v
*before* the correction: w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε). TensorFlow, the authors' SOAP and
the authors' C-AdamW use it; torch uses the first. The two differ by a factor √(1 - β₂ᵗ) on ε.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    eps_hat: bool = False,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i] + weight_decay * w
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            correction1, correction2 = 1 - beta1**t, 1 - beta2**t
            if eps_hat:
                w = w - lr * correction2**0.5 / correction1 * m / (v.sqrt() + eps)
            else:
                w = w - lr * (m / correction1) / ((v / correction2).sqrt() + eps)
        final.append(w)
    return final
