"""AMSGrad: Adam whose second moment never shrinks.

Source: Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond" (2018),
https://arxiv.org/abs/1904.09237

`form="torch"` (default), torch.optim.Adam(amsgrad=True):

    m ← β₁ m + (1 - β₁) g    v ← β₂ v + (1 - β₂) g²    v̄ ← max(v̄, v)
    w ← w - η m̂ / (√(v̄ / (1 - β₂ᵗ)) + ε)

`form="paper"`, algorithm 2: the same without any bias correction, w ← w - η m / (√v̄ + ε); the paper has no ε
(pass eps=0). Deviation worth knowing: torch takes the maximum of the *biased* v and corrects afterwards with
the current step's factor, so that its denominator can still shrink early on, which the paper's cannot.
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
    form: str = "torch",
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v, largest = (torch.zeros_like(w) for _ in range(3))
        for t, step in enumerate(grads, start=1):
            g = step[i] + weight_decay * w
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            largest = torch.maximum(largest, v)
            if form == "paper":
                w = w - lr * m / (largest.sqrt() + eps)
            else:
                w = w - lr * (m / (1 - beta1**t)) / ((largest / (1 - beta2**t)).sqrt() + eps)
        final.append(w)
    return final
