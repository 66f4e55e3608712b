"""One-sided SOAP: only the shorter side of each matrix is turned.

Source: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (2024), https://arxiv.org/abs/2409.11321,
section 7.1; everything else from the authors' code https://github.com/nikhilvyas/SOAP (see soap.py)

With Q the eigenbasis of the averaged g gᵀ for a matrix with fewer rows than columns (or as many):

    g' = Qᵀ g        m' ← β₁ m' + (1 - β₁) g'        v' ← β₂ v' + (1 - β₂) g'²
    w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · Q [m' / (√v' + ε)],    then  w ← (1 - η λ) w

and the transposed of all that for a matrix with more. The first gradient makes the basis only.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(shapes=[(6, 6), (4, 7), (7, 4), (4,)], tolerance=1e-10, hyper={"precondition_frequency": 3})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 3e-3, betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float = -1.0, eps: float = 1e-8, weight_decay: float = 0.01, precondition_frequency: int = 10,
    max_precond_dim: int = 10000, normalize_grads: bool = False, correct_bias: bool = True, sides: str = "smaller",
) -> list[Tensor]:  # fmt: skip
    assert sides == "smaller"
    beta1, beta2 = betas
    beta = shampoo_beta if shampoo_beta >= 0 else beta2
    final = []
    for i, w in enumerate(params):
        rows = [row[i] for row in grads]
        flat = w.ndim < 2
        if flat:
            w, rows = w.reshape(1, -1), [g.reshape(1, -1) for g in rows]
        tall = w.shape[0] > w.shape[1]
        if tall:
            w, rows = w.T, [g.T for g in rows]
        side = w.shape[0]
        turned = not flat and side <= max_precond_dim
        h = (1 - beta) * rows[0] @ rows[0].T
        q = torch.linalg.eigh(h)[1].flip(1) if turned else torch.eye(side, dtype=w.dtype)
        m = v = torch.zeros_like(w)
        for t, g in enumerate(rows[1:], start=1):
            inside = q.T @ g
            m = beta1 * m + (1 - beta1) * inside
            v = beta2 * v + (1 - beta2) * inside**2
            u = q @ (m / (v**0.5 + eps))
            if normalize_grads:
                u = u / (1e-30 + (u**2).mean() ** 0.5)
            size = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) if correct_bias else lr
            w = (w - size * u) * (1 - lr * weight_decay)
            h = beta * h + (1 - beta) * g @ g.T
            if turned and t % precondition_frequency == 0:
                order = torch.argsort((q.T @ h @ q).diagonal(), descending=True)
                straight, v = q @ m, v[order]
                q = torch.linalg.qr(h @ q[:, order]).Q
                m = q.T @ straight
        w = w.T if tall else w
        final.append(w.reshape(params[i].shape))
    return final
