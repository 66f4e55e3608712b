"""Grass: AdamW on the rows of the largest norms, chosen anew each K steps.

Source: Muhamed, Li, Woodruff, Diab and Smith, "Grass: Compute Efficient Low-Memory LLM Training with Structured Sparse
Gradients" (2024), https://arxiv.org/abs/2406.17660, as a third party's summary has it; the authors' code is not public

With P [m, r] the columns of the identity for the r rows of the largest norm of g at the steps 1, 1 + K, 1 + 2K, …,
where Adam's moments and its count of steps begin anew:

    m < n:    g' = Pᵀ g          w ← w - η (s P [m̂' / (√v̂' + ε)] + λ w)
    else:     the same with gᵀ and wᵀ

Vectors are not projected and not scaled, and their moments do not begin anew.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(
    shapes=[(6, 6), (5, 8), (8, 5), (2, 7), (4,), ()],
    tolerance=1e-11,
    hyper={"rank": 3, "update_proj_gap": 7},
)


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8, weight_decay: float = 0.0, rank: int = 128, update_proj_gap: int = 200, scale: float = 0.25,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        tall = w.ndim == 2 and w.shape[0] >= w.shape[1]
        w = w.T if tall else w
        projection = torch.eye(w.shape[0]).double() if w.ndim == 2 else None
        m = v = torch.zeros(())
        age = 0
        for t, row in enumerate(grads):
            g = row[i].T if tall else row[i]
            age += 1
            if projection is not None and t % update_proj_gap == 0:
                order = sorted(range(g.shape[0]), key=lambda k, g=g: -float((g[k] ** 2).sum()))
                projection = torch.eye(g.shape[0]).double()[:, order[:rank]]
                m, v, age = torch.zeros(()), torch.zeros(()), 1
            low = g if projection is None else projection.T @ g
            m = beta1 * m + (1 - beta1) * low
            v = beta2 * v + (1 - beta2) * low**2
            step = (m / (1 - beta1**age)) / ((v / (1 - beta2**age)).sqrt() + eps)
            if projection is not None:
                step = scale * projection @ step
            w = w - lr * (step + weight_decay * w)
        final.append(w.T if tall else w)
    return final
