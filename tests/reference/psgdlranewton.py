"""PSGD from Hessian-vector products over all weights as one vector, by a diagonal and a change of low rank.

Sources and update: as `psgdlra`, with the pair (v, h) of `psgdkronnewton`; authors' code: class LRANewton.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reference.psgdkron import first_scale, refreshed
from reference.psgdkronnewton import Loss, damp, probes, slope_and_product
from reference.psgdlra import LowRank, turn_u

TOLERANCE = 1e-7
CASES = [
    {"lr": 0.1, "rank_of_approximation": 3},
    {"lr": 0.1, "rank_of_approximation": 0, "momentum": 0.5, "preconditioner_update_probability": 0.5},
    {"lr": 0.1, "grad_clip_max_norm": 0.1, "preconditioner_init_scale": 1.0, "weight_decay": 0.1},
]


def reference(
    params: list[Tensor],
    loss: Loss,
    steps: int,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    rank_of_approximation: int = 10,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_update_probability: float = 1.0,
    grad_clip_max_norm: float = math.inf,
) -> list[Tensor]:
    q, m = None, torch.zeros(sum(p.numel() for p in params), dtype=torch.float64)
    for t in range(1, steps + 1):
        drawn, vectors = probes(params, t)
        slopes, products = slope_and_product(loss, params, vectors)
        g, hv, v, n = (torch.cat([x.flatten() for x in xs]) for xs in (slopes, products, vectors, drawn))
        beta = min(1 - 1 / t, momentum)
        m = beta * m + (1 - beta) * g
        if q is None:
            q = LowRank(n, rank_of_approximation, first_scale(hv, damping, preconditioner_init_scale))
        if refreshed(t, preconditioner_update_probability):
            q.fit(damp(hv, n, damping), v, lr_preconditioner, betaL, turn_u(t))
        u = q.q.T @ q.q @ m
        u = u * min(1.0, grad_clip_max_norm / float(u.norm()))
        split = [x.view_as(p) for x, p in zip(u.split([p.numel() for p in params]), params)]
        params = [p - lr * (x + weight_decay * p) for p, x in zip(params, split)]
    return params
