"""LAMB: Adam's direction, scaled per tensor to the size of the weights.

Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes" (2020),
https://arxiv.org/abs/1904.00962, algorithm 2 of the published version (v5)

    m ← β₁ m + (1 - β₁) g                v ← β₂ v + (1 - β₂) g²
    u = m̂ / (√v̂ + ε) + λ w               `bias_correction=False`: m and v themselves
    w ← w - η φ(‖w‖) / ‖u‖ · u           ratio 1 where either norm is 0

Which version: v1 and v5 correct the bias, v3 does not (v5's appendix allows to leave it out with a
warm-up). φ is the identity, as the authors ran it; v5's suggestion φ(z) = min(max(z, γₗ), γᵤ) is `phi=(γₗ,
γᵤ)`. Popular code (cybertronai/pytorch-lamb, jettify's torch-optimizer) has v3 without correction and caps
‖w‖ at 10, a number that v1 gave for the *ratio*; some multiply the learning rate by the bias correction
instead of correcting inside u, which is not the same once λ > 0, and cancels in ‖u‖ where λ = 0. LAMB as
published does not clip gradients; NVIDIA's and timm's versions divide by the global gradient norm first.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    bias_correction: bool = True,
    phi: tuple[float, float] = (0.0, float("inf")),
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            m_hat, v_hat = (m / (1 - beta1**t), v / (1 - beta2**t)) if bias_correction else (m, v)
            u = m_hat / (v_hat.sqrt() + eps) + weight_decay * w
            size = w.norm().clamp(*phi)
            ratio = size / u.norm() if size > 0 and u.norm() > 0 else 1.0
            w = w - lr * ratio * u
        final.append(w)
    return final
