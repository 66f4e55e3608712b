"""KL-Shampoo: two Kronecker factors, each estimated from gradients that the other one whitens.

Source: Lin et al., "Understanding and Improving Shampoo and SOAP via Kullback-Leibler Minimization" (2025),
https://arxiv.org/abs/2509.03378; authors' code https://github.com/yorkerlin/KL-Methods, which this file follows

First call: L = (1 - β) g gᵀ / n, R = (1 - β) gᵀ g / m, their eigenbases A, B (descending), all eigenvalues a = b = 0.1;
no step is taken. Then

    m ← β₁ m + (1 - β₁) g;   u = Aᵀ m B / (√(a bᵀ) + ε)
    w ← (1 - η λ) (w - η A u Bᵀ)
    L ← β L + (1 - β) g R⁻¹ gᵀ / n,   R⁻¹ = B diag(1/b) Bᵀ;    R ← β R + (1 - β) gᵀ L⁻¹ g / m,   L⁻¹ = A diag(1/a) Aᵀ
    a ← β a + (1 - β) diag(Aᵀ g R⁻¹ gᵀ A) / n,                 b ← β b + (1 - β) diag(Bᵀ gᵀ L⁻¹ g B) / m
    1/√a at most max(10, min(m, 4000)), 1/√b likewise
    every k steps: A, B ← the orthogonal factors of L A, R B

All right-hand sides are the old values. The paper's algorithm has no clamp and its first step is not skipped. A
vector, of which the authors' code is not capable, keeps b in its own coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(shapes=[(6, 6), (5, 5), (4,)], tolerance=1e-10, hyper={"precondition_frequency": 3})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.98),
    shampoo_beta: float = -1.0, eps: float = 1e-8, weight_decay: float = 0.01, precondition_frequency: int = 10,
    max_precond_dim: int = 10000, precondition_1d: bool = False, init_factor: float = 0.1,
    max_clamp_value: float = 4000.0,
) -> list[Tensor]:  # fmt: skip
    beta = shampoo_beta if shampoo_beta >= 0 else betas[1]
    final = []
    for i, w in enumerate(params):
        rows = [row[i].reshape(len(row[i]) if w.ndim > 1 else 1, -1) for row in grads]
        vector, w = w.ndim < 2, w.reshape(rows[0].shape)
        m_, n_ = w.shape
        left, right = (1 - beta) * rows[0] @ rows[0].T / n_, (1 - beta) * rows[0].T @ rows[0] / m_
        turned = [1 < size <= max_precond_dim and (not vector or precondition_1d) for size in (m_, n_)]
        q, p = (
            torch.linalg.eigh(h)[1].flip(1) if on else torch.eye(len(h), dtype=w.dtype)
            for h, on in zip((left, right), turned)
        )
        a, b = (torch.full((size,), init_factor, dtype=w.dtype) for size in (m_, n_))
        if vector:
            a[:] = 1.0
        m = torch.zeros_like(w)
        for t, g in enumerate(rows[1:], start=1):
            m = betas[0] * m + (1 - betas[0]) * g
            u = q.T @ m @ p / (torch.outer(a, b).sqrt() + eps)
            w = (w - lr * q @ u @ p.T) * (1 - lr * weight_decay)
            over_right = g @ p @ torch.diag(1 / b) @ p.T @ g.T / n_
            over_left = g.T @ q @ torch.diag(1 / a) @ q.T @ g / m_
            left, right = beta * left + (1 - beta) * over_right, beta * right + (1 - beta) * over_left
            a_new = beta * a + (1 - beta) * (q.T @ over_right @ q).diagonal()
            b = beta * b + (1 - beta) * (p.T @ over_left @ p).diagonal()
            a = a if vector else a_new
            a, b = (x.clamp(min=max(10, min(len(x), max_clamp_value)) ** -2) for x in (a, b))
            if t % precondition_frequency == 0:
                q = torch.linalg.qr(left @ q).Q if turned[0] else q
                p = torch.linalg.qr(right @ p).Q if turned[1] else p
        final.append(w.reshape(params[i].shape))
    return final
