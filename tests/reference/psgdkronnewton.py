"""PSGD from Hessian-vector products with a Kronecker product of triangular matrices.

Sources and update: as `psgdkron`, with the pair (v, h = ∇²f(w) v + (δ + ε|∇²f(w) v|) n) in place of (v, g + …), where
v ∈ {-1, 1} (the signs of the probes n), all tensors' v at once; authors' code: class KronNewton with dQ="EQ".

    w ← w - η (c P m + λw),   c = min(1, grad_clip_max_norm / ‖Pm‖) over all tensors

The start is preconditioner_init_scale, or (E v²)^¼ (E (∇²f v)⁴ + δ⁴)^(-⅛) of each tensor. The Hessian's products are
exact here, and differences of gradients in the library: hence the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from reference.probes import probe
from reference.psgdkron import Kron, first_scale, refreshed

TOLERANCE = 1e-7
CASES = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.5, "preconditioner_update_probability": 0.5, "weight_decay": 0.1},
    {"lr": 0.1, "grad_clip_max_norm": 0.1, "preconditioner_init_scale": 1.0, "preconditioner_max_skew": 10.0},
]
Loss = Callable[[list[Tensor]], Tensor]


def slope_and_product(loss: Loss, params: list[Tensor], vectors: list[Tensor]) -> tuple[list[Tensor], ...]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    slopes = torch.autograd.grad(loss(leaves), leaves, create_graph=True)
    products = torch.autograd.grad(slopes, leaves, vectors)
    return [g.detach() for g in slopes], list(products)


def probes(params: list[Tensor], t: int) -> tuple[list[Tensor], list[Tensor]]:
    drawn = [probe(w.shape, i, t) for i, w in enumerate(params)]
    return drawn, [n.sign() for n in drawn]


def damp(product: Tensor, n: Tensor, damping: float) -> Tensor:
    return product + (damping + torch.finfo(product.dtype).eps * product.abs()) * n


def reference(
    params: list[Tensor],
    loss: Loss,
    steps: int,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: float = math.inf,
    preconditioner_max_skew: float = 1.0,
    preconditioner_update_probability: float = 1.0,
    grad_clip_max_norm: float = math.inf,
) -> list[Tensor]:
    krons = [Kron(tuple(w.shape), preconditioner_max_size, preconditioner_max_skew) for w in params]
    averages = [torch.zeros_like(w) for w in params]
    for t in range(1, steps + 1):
        drawn, vectors = probes(params, t)
        slopes, products = slope_and_product(loss, params, vectors)
        beta = min(1 - 1 / t, momentum)
        averages = [beta * m + (1 - beta) * g for m, g in zip(averages, slopes)]
        for kron, v, n, hv in zip(krons, vectors, drawn, products):
            if t == 1:
                kron.start(first_scale(hv, damping, preconditioner_init_scale))  # E v² = 1
            if refreshed(t, preconditioner_update_probability):
                kron.fit(damp(hv, n, damping), v, lr_preconditioner, betaL)
        updates = [kron(m) for kron, m in zip(krons, averages)]
        norm = float(torch.stack([u.norm() for u in updates]).norm())
        short = min(1.0, grad_clip_max_norm / norm)
        params = [w - lr * (short * u + weight_decay * w) for w, u in zip(params, updates)]
    return params
