"""Fira: GaLore's step, and the rest of the gradient scaled by norms.

Source: Chen, Feng, Li, Lai, Yue, Yuan and Wang, "Fira: Can We Achieve Full-rank Training of LLMs Under Low-rank
Constraint?" (2024), https://arxiv.org/abs/2410.01623; authors' code https://github.com/xichen-fy/Fira, which this file
follows

With g = U S Vᵀ at the steps 1, 1 + T, 1 + 2T, …, P = U_r (m < n), R = Pᵀ g, and ψ = m / (√v + ε) of Adam on R:

    φ_j = ‖ψ_j‖ / (‖R_j‖ + 1e-8)                                       of columns
    S = (g - s P R) diag(φ);    l = max(‖S‖ / (‖S_before‖ + 1e-8), γ) / γ, 1 at the first step;    S ← S / l
    w ← w - η c (s P ψ + S)                                             c = √(1 - β₂ᵗ) / (1 - β₁ᵗ)
    w ← (1 - η λ) w

and the same with gᵀ and wᵀ where m ≥ n. Vectors have AdamW.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(
    shapes=[(6, 6), (5, 8), (8, 5), (3, 7), (4,), ()],
    tolerance=1e-10,
    hyper={"rank": 2, "update_proj_gap": 7, "scale": 0.7},
)


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6, weight_decay: float = 0.0, rank: int = 128, update_proj_gap: int = 200, scale: float = 1.0,
    limit: float = 1.01, correct_bias: bool = True,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        tall = w.ndim == 2 and w.shape[0] >= w.shape[1]
        w = w.T if tall else w  # singular vectors are those of g as it stands, whose signs moments feel
        m = v = torch.zeros(())
        P = last = None
        for t, row in enumerate(grads, start=1):
            g = row[i].T if tall else row[i]
            if w.ndim == 2 and (t - 1) % update_proj_gap == 0:
                left, _, right = torch.linalg.svd(row[i], full_matrices=False)
                P = right.T[:, :rank] if tall else left[:, :rank]
            low = g if P is None else P.T @ g
            m = beta1 * m + (1 - beta1) * low
            v = beta2 * v + (1 - beta2) * low**2
            step = m / (v.sqrt() + eps)
            if P is not None:
                factor = (step**2).sum(0).sqrt() / ((low**2).sum(0).sqrt() + 1e-8)
                rest = (g - scale * P @ low) * factor
                size = float((rest**2).sum()) ** 0.5
                slower = 1.0 if last is None else max(size / (last + 1e-8), limit) / limit
                last = size / slower
                step = scale * P @ step + rest / slower
            if correct_bias:
                step = step * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
            w = (w - lr * step) * (1 - lr * weight_decay)
        final.append(w.T if tall else w)
    return final
