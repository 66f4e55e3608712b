"""EKFAC: K-FAC's eigenbasis with the second moments along its axes followed by themselves.

Source: George, Laurent, Bouthillier, Ballas and Vincent, "Fast Approximate Natural Gradient Descent in a
Kronecker-factored Eigenbasis" (2018), https://arxiv.org/abs/1806.03884, in the form with running averages of
mini-batch gradients (EKFAC-ra). A, G, ν, momentum and decay as in `kfac`; every `TInv` steps

    A = Q_A Λ Q_Aᵀ,  G = Q_G Λ' Q_Gᵀ;  s is carried along: the diagonal of P diag(s) Pᵀ, P from the old axes to the new

and at every step, with d = Q_Gᵀ ∇W Q_A,

    s ← β s + (1 - β) d²        U = Q_G [ d / (s / (1 - βᵗ) + λ) ] Q_Aᵀ
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.kfac import Batch, blocks

CASES = [
    {"damping": 0.1},
    {"damping": 0.1, "TInv": 3, "TCov": 2, "weight_decay": 0.01},
    {"momentum": 0.0, "kl_clip": 0.0, "damping": 1.0, "stat_decay": 0.5, "TInv": 4},
]


def basis(h: Tensor) -> Tensor:
    return torch.linalg.eigh(h)[1].flip(1)


def reference(
    weights: list[Tensor],
    batches: list[Batch],
    lr: float = 0.1,
    momentum: float = 0.9,
    stat_decay: float = 0.95,
    damping: float = 1e-3,
    kl_clip: float = 1e-3,
    weight_decay: float = 0.0,
    TCov: int = 1,
    TInv: int = 20,
) -> list[Tensor]:
    A, G, Q, s = {}, {}, {}, {}
    buffers = [torch.zeros_like(w) for w in weights]
    seen = 0
    for t, (x, y) in enumerate(batches, start=1):
        found = blocks(weights, x, y)
        if (t - 1) % TCov == 0:
            seen += 1
            e = min(1 - 1 / seen, stat_decay)
            for i, (_, a, g) in enumerate(found):
                A[i] = e * A.get(i, 0.0) + (1 - e) * (a.T @ a) / len(x)
                G[i] = e * G.get(i, 0.0) + (1 - e) * (g.T @ g) / len(x)
        updates = []
        for i, (grad, _, _) in enumerate(found):
            if (t - 1) % TInv == 0:
                new = basis(G[i]), basis(A[i])
                if i in Q:
                    # the covariance of d in the old axes, diag(s), seen in the new ones
                    p = torch.kron(new[0].T @ Q[i][0], new[1].T @ Q[i][1])
                    s[i] = (p @ torch.diag(s[i].flatten()) @ p.T).diagonal().view_as(s[i])
                Q[i] = new
            d = Q[i][0].T @ grad @ Q[i][1]
            s[i] = stat_decay * s.get(i, torch.zeros_like(d)) + (1 - stat_decay) * d**2
            updates.append(Q[i][0] @ (d / (s[i] / (1 - stat_decay**t) + damping)) @ Q[i][1].T)
        slope = sum(float((u * grad).sum()) for u, (grad, _, _) in zip(updates, found))
        nu = min(1.0, (kl_clip / (lr**2 * slope)) ** 0.5) if kl_clip else 1.0
        for i, u in enumerate(updates):
            buffers[i] = momentum * buffers[i] + nu * u.reshape(weights[i].shape) + weight_decay * weights[i]
        weights = [w - lr * b for w, b in zip(weights, buffers)]
    return weights
