"""Cautious masking: only coordinates whose update agrees in sign with the gradient are moved.

Source: Liang, Chen, Liu and Liu, "Cautious Optimizers: Improving Training with One Line of Code" (2024),
https://arxiv.org/abs/2411.16085; authors' code https://github.com/kyleliang919/C-Optim

    φ = [u g > 0],  w ← (1 - η λ) w - η α φ u

`scale="mean"`: α = 1 / max(mean φ, 1e-3), the authors' present C-AdamW; `scale="paper"`: α = d / (Σ φ + 1),
the paper's algorithm and the authors' C-Lion, which still has it. A tensor of d = 1 tells them apart: 1
against ½.

`rule="adamw"`: u = m / (√v + ε) √(1 - β₂ᵗ) / (1 - β₁ᵗ), the authors' form with ε before the correction
(`eps_hat=False`: torch's form, ε after it). `rule="lion"`: u = sign(β₁ m + (1 - β₁) g). The decay is not
masked and comes first.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked(u: Tensor, g: Tensor, scale: str) -> Tensor:
    mask = (u * g > 0).to(g.dtype)
    alpha = 1 / mask.mean().clamp(min=1e-3) if scale == "mean" else mask.numel() / (mask.sum() + 1)
    return alpha * mask * u


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    rule: str = "adamw",
    scale: str = "mean",
    eps_hat: bool = True,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            if rule == "lion":
                u = (beta1 * m + (1 - beta1) * g).sign()
                m = beta2 * m + (1 - beta2) * g
            else:
                m = beta1 * m + (1 - beta1) * g
                v = beta2 * v + (1 - beta2) * g**2
                root = (1 - beta2**t) ** 0.5
                u = m / (1 - beta1**t) / ((v.sqrt() + eps) / root if eps_hat else v.sqrt() / root + eps)
            w = (1 - lr * weight_decay) * w - lr * masked(u, g, scale)
        final.append(w)
    return final
