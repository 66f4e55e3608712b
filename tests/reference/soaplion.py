"""Lion in SOAP's basis.

Sources: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (2024), https://arxiv.org/abs/2409.11321, for
the basis (skipped first step, sorted columns, decay after the step: see soap.py); Chen et al., "Symbolic Discovery of
Optimization Algorithms" (2023), https://arxiv.org/abs/2302.06675, for the rule

    g' = Q_Lᵀ g Q_R;    w ← (1 - η λ) (w - η Q_L sign(β₁ m + (1 - β₁) g') Q_Rᵀ);    m ← β₂ m + (1 - β₂) g'
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(shapes=[(6, 6), (5, 5), (4,)], tolerance=1e-10, hyper={"precondition_frequency": 3})


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 3e-4, betas: tuple[float, float] = (0.9, 0.99),
    shampoo_beta: float = 0.95, weight_decay: float = 0.01, precondition_frequency: int = 10,
    max_precond_dim: int = 10000, precondition_1d: bool = False,
) -> list[Tensor]:  # fmt: skip
    beta, final = shampoo_beta, []
    for i, w in enumerate(params):
        rows = [row[i] for row in grads]
        flat = w.ndim < 2 and not precondition_1d
        if w.ndim < 2:
            w, rows = w.reshape(1, -1), [g.reshape(1, -1) for g in rows]
        axes = [n > 1 and n <= max_precond_dim and not flat for n in w.shape]
        left, right = ((1 - beta) * rows[0] @ rows[0].T, (1 - beta) * rows[0].T @ rows[0])
        q, p = (
            torch.linalg.eigh(h)[1].flip(1) if on else torch.eye(len(h), dtype=w.dtype)
            for h, on in zip((left, right), axes)
        )
        moments, squares = [torch.zeros_like(w)], []
        for t, g in enumerate(rows[1:], start=1):
            inside = q.T @ g @ p
            (m,) = moments
            u = torch.sign(betas[0] * m + (1 - betas[0]) * inside)
            moments = [betas[1] * m + (1 - betas[1]) * inside]
            w = (w - lr * q @ u @ p.T) * (1 - lr * weight_decay)
            left = beta * left + (1 - beta) * g @ g.T
            right = beta * right + (1 - beta) * g.T @ g
            if t % precondition_frequency == 0:
                outside = [q @ x @ p.T for x in moments]
                if axes[0]:
                    order = torch.argsort((q.T @ left @ q).diagonal(), descending=True)
                    squares = [x[order] for x in squares]
                    q = torch.linalg.qr(left @ q[:, order]).Q
                if axes[1]:
                    order = torch.argsort((p.T @ right @ p).diagonal(), descending=True)
                    squares = [x[:, order] for x in squares]
                    p = torch.linalg.qr(right @ p[:, order]).Q
                moments = [q.T @ x @ p for x in outside]
        final.append(w.reshape(params[i].shape))
    return final
