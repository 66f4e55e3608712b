"""Low-rank M-FAC: the inverse empirical Fisher matrix of a window of low-rank gradients, with error feedback.

Source: Modoranu, Kalinov, Kurtic, Frantar and Alistarh, "Error Feedback Can Accurately Compress Preconditioners"
(2024), https://arxiv.org/abs/2306.06098; authors' code https://github.com/IST-DASLab/EFCP

For every matrix (a vector is one row and stays as it is), m = `ngrads`, zeros before the first:

    A = G + Ξ;   P = an orthonormal basis of the columns of A Q;   Q ← Aᵀ P;   C = P Qᵀ;   Ξ ← A - C
    F = λ I + (1 / m) Σ c cᵀ, c the entries of C as a vector;   v ← μ v + F⁻¹ c;   w ← w - η (v + λ_w w)

Q starts as Aᵀ S with S_ij the fraction of 10007 sin k, k = 1, 2, ... row by row (the authors draw Q at random).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = dict(tolerance=1e-9, hyper={"ngrads": 6, "damp": 0.01, "momentum": 0.5, "rank": 2})


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    ngrads: int = 32,
    damp: float = 1e-3,
    rank: int = 4,
) -> list[Tensor]:
    final = []
    for i, p in enumerate(params):
        w = p.reshape(1, -1) if p.dim() < 2 else p
        rows, columns = w.shape
        r = min(rank, rows, columns)
        sines = [math.fmod(10007 * math.sin(k + 1), 1.0) for k in range(rows * r)]
        start = torch.tensor(sines, dtype=w.dtype).reshape(rows, r)
        error, v, q = torch.zeros_like(w), torch.zeros_like(w), None
        window: list[Tensor] = []
        for row in grads:
            a = row[i].reshape(w.shape) + error
            basis = torch.linalg.svd(a @ (a.T @ start if q is None else q), full_matrices=False)[0][:, :r]
            q = a.T @ basis
            c = basis @ q.T
            error = a - c
            window = [*window, c.reshape(-1)][-ngrads:]
            fisher = damp * torch.eye(w.numel(), dtype=w.dtype)
            fisher = fisher + sum(torch.outer(x, x) for x in window) / ngrads
            v = momentum * v + torch.linalg.solve(fisher, c.reshape(-1)).reshape(w.shape)
            w = w - lr * (v + weight_decay * w)
        final.append(w.reshape(p.shape))
    return final
