"""4-bit Shampoo, without the rounding: AdamW on gradients preconditioned by Shampoo kept as eigenpairs.

Source: Wang et al., "4-bit Shampoo for Memory-Efficient Network Training" (2024), https://arxiv.org/abs/2405.18144,
algorithms 1 to 3; authors' code https://github.com/Sike-Wang/low-bit-Shampoo

    step divisible by T₁:  A = β Q Λ Qᵀ + (1 - β) g gᵀ;   Q ← the orthogonal factor of A Q;   Λ ← diag(Qᵀ A Q)
    step divisible by T₂:  P = Q (Λ + ε max Λ)^(-1/4) Qᵀ                      (identity before)
    u = P_L g P_R ‖g‖ / ‖P_L g P_R‖,   then AdamW with u in place of g

Q starts as the identity and Λ as ε. Vectors are not preconditioned. What is stored in four bits has at least 4096
entries: none of those here.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(
    shapes=[(6, 6), (8, 4), (5,)], tolerance=1e-9, hyper=dict(stat_compute_steps=2, prec_compute_steps=4)
)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    stat_compute_steps: int = 100,
    prec_compute_steps: int = 500,
    stat_decay: float = 0.95,
    matrix_eps: float = 1e-6,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        sides = range(w.ndim if w.ndim == 2 else 0)
        q = [torch.eye(w.shape[k], dtype=w.dtype) for k in sides]
        values = [torch.full((w.shape[k],), matrix_eps, dtype=w.dtype) for k in sides]
        roots = [torch.eye(w.shape[k], dtype=w.dtype) for k in sides]
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, row in enumerate(grads, start=1):
            g = row[i]
            for k in sides:
                if t % stat_compute_steps == 0:
                    outer = g @ g.T if k == 0 else g.T @ g
                    a = stat_decay * q[k] @ torch.diag(values[k]) @ q[k].T + (1 - stat_decay) * outer
                    q[k] = torch.linalg.qr(a @ q[k])[0]
                    values[k] = torch.diag(q[k].T @ a @ q[k])
                if t % prec_compute_steps == 0:
                    power = (values[k] + matrix_eps * values[k].max()) ** -0.25
                    roots[k] = q[k] @ torch.diag(power) @ q[k].T
            u = roots[0] @ g @ roots[1] if sides else g
            u = u * g.norm() / u.norm()
            m, v = beta1 * m + (1 - beta1) * u, beta2 * v + (1 - beta2) * u**2
            step = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
            w = (1 - lr * weight_decay) * w - lr * step
        final.append(w)
    return final
