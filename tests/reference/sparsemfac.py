"""Sparse M-FAC: the inverse empirical Fisher matrix of a window of sparsified gradients, with error feedback.

Source: Modoranu, Kalinov, Kurtic, Frantar and Alistarh, "Error Feedback Can Accurately Compress Preconditioners"
(2024), https://arxiv.org/abs/2306.06098, algorithm 1; authors' code https://github.com/IST-DASLab/EFCP

For every tensor of d weights (the authors: for all of them as one vector), m = `ngrads`, zeros before the first:

    a = g + ξ;   c = a where it is among the ⌈ρ d⌉ largest, else 0;   ξ ← a - c
    F = λ I + (1 / m) Σ c cᵀ over the last m;   v ← μ v + F⁻¹ c;   w ← w - η (v + λ_w w)

Written with the d × d matrix itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMOOTH = False  # which entries are the largest changes with the rate
CASE = dict(tolerance=1e-9, hyper={"ngrads": 6, "damp": 0.01, "momentum": 0.5, "density": 0.3})


def largest(a: Tensor, density: float) -> Tensor:
    count = max(1, math.ceil(density * a.numel()))
    order = a.abs().argsort(descending=True)[:count]
    c = torch.zeros_like(a)
    c[order] = a[order]
    return c


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    ngrads: int = 32,
    damp: float = 1e-3,
    density: float = 0.01,
) -> list[Tensor]:
    final = []
    for i, p in enumerate(params):
        w = p.reshape(-1)
        error, v, eye = torch.zeros_like(w), torch.zeros_like(w), torch.eye(len(w), dtype=w.dtype)
        window: list[Tensor] = []
        for row in grads:
            a = row[i].reshape(-1) + error
            c = largest(a, density)
            error = a - c
            window = [*window, c][-ngrads:]
            fisher = damp * eye + sum(torch.outer(x, x) for x in window) / ngrads
            v = momentum * v + torch.linalg.solve(fisher, c)
            w = w - lr * (v + weight_decay * w)
        final.append(w.reshape(p.shape))
    return final
