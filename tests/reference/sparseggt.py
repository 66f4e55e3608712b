"""Sparse GGT: full-matrix AdaGrad on a window of sparsified gradients, with error feedback.

Source: Modoranu, Kalinov, Kurtic, Frantar and Alistarh, "Error Feedback Can Accurately Compress Preconditioners"
(2024), https://arxiv.org/abs/2306.06098; authors' code https://github.com/IST-DASLab/EFCP

For every tensor of d weights (the authors: for all of them as one vector):

    a = g + λ w + ξ;   c = a where it is among the ⌈ρ d⌉ largest, else 0;   ξ ← a - c
    w ← w - η [(Σ c cᵀ)^½ + ε I]⁻¹ c, over the last `ngrads`

Written with the root of the d × d matrix itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = dict(tolerance=1e-7, hyper={"ngrads": 6, "eps": 0.1, "density": 0.3})
SMOOTH = False  # which entries are the largest changes with the rate


def largest(a: Tensor, density: float) -> Tensor:
    count = max(1, math.ceil(density * a.numel()))
    order = a.abs().argsort(descending=True)[:count]
    c = torch.zeros_like(a)
    c[order] = a[order]
    return c


def root(a: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(a)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    eps: float = 1e-2,
    weight_decay: float = 0.0,
    ngrads: int = 32,
    density: float = 0.01,
) -> list[Tensor]:
    final = []
    for i, p in enumerate(params):
        w = p.reshape(-1)
        error, eye = torch.zeros_like(w), torch.eye(len(w), dtype=w.dtype)
        window: list[Tensor] = []
        for row in grads:
            a = row[i].reshape(-1) + weight_decay * w + error
            c = largest(a, density)
            error = a - c
            window = [*window, c][-ngrads:]
            full = root(sum(torch.outer(x, x) for x in window))
            w = w - lr * torch.linalg.solve(full + eps * eye, c)
        final.append(w.reshape(p.shape))
    return final
