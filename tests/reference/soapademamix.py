"""AdEMAMix in SOAP's basis.

Sources: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (2024), https://arxiv.org/abs/2409.11321, for
the basis (skipped first step, sorted columns, decay after the step: see soap.py); Pagliardini, Ablin and Grangier, "The
AdEMAMix Optimizer: Better, Faster, Older" (2024), https://arxiv.org/abs/2409.03137, for the rule

    g' = Q_Lᵀ g Q_R;   m₁ ← β₁ m₁ + (1 - β₁) g';   m₂ ← β₃ m₂ + (1 - β₃) g';   v ← β₂ v + (1 - β₂) g'²
    w ← (1 - η λ) (w - η Q_L [(m₁ / (1 - β₁ᵗ) + α m₂) / (√(v / (1 - β₂ᵗ)) + ε)] Q_Rᵀ)

α(t) = α min(1, t/T_α); ln ½ / ln β₃(t), the half-life, rises linearly from β₁'s to β₃'s in T_β steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = dict(
    shapes=[(6, 6), (5, 5), (4,)],
    tolerance=1e-10,
    hyper={"precondition_frequency": 3, "beta3_warmup": 20, "alpha_warmup": 12, "betas": (0.9, 0.95, 0.99)},
)


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 3e-3,
    betas: tuple[float, float, float] = (0.95, 0.95, 0.9999), alpha: float = 2.0, shampoo_beta: float = -1.0,
    eps: float = 1e-8, weight_decay: float = 0.01, beta3_warmup: int = 0, alpha_warmup: int = 0,
    precondition_frequency: int = 10, max_precond_dim: int = 10000, precondition_1d: bool = False,
) -> list[Tensor]:  # fmt: skip
    beta = shampoo_beta if shampoo_beta >= 0 else betas[1]
    final = []
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
        moments, squares = [torch.zeros_like(w), torch.zeros_like(w)], [torch.zeros_like(w)]
        for t, g in enumerate(rows[1:], start=1):
            inside = q.T @ g @ p
            (fast, slow), (v,) = moments, squares
            share = alpha * min(1.0, t / alpha_warmup) if alpha_warmup else alpha
            beta3 = betas[2]
            if t < beta3_warmup:
                halves = [math.log(0.5) / math.log(b) for b in (betas[0], betas[2])]
                beta3 = 0.5 ** (1 / (halves[0] + (halves[1] - halves[0]) * t / beta3_warmup))
            fast = betas[0] * fast + (1 - betas[0]) * inside
            slow = beta3 * slow + (1 - beta3) * inside
            v = betas[1] * v + (1 - betas[1]) * inside**2
            u = (fast / (1 - betas[0] ** t) + share * slow) / ((v / (1 - betas[1] ** t)) ** 0.5 + eps)
            moments, squares = [fast, slow], [v]
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
