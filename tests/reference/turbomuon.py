"""Turbo-Muon: Muon with almost-orthogonal rescaling and four Newton-Schulz steps.

Source: Boissin, Massena, Mamalet and Serrurier, "Turbo-Muon: Accelerating Orthogonality-Based Optimization with
Pre-Conditioning" (2025), https://arxiv.org/abs/2512.04632; authors' code https://github.com/thib-s/flash-newton-schulz

    b ← μ b + (1 - μ) g;  u ← (1 - μ) g + μ b  (Nesterov)  or  b
    x ← u, not taller than wide;  s_i = 1 / √(Σ_j |x xᵀ|_ij);  x ← diag(s) x
    x ← a x + (b xxᵀ + c (xxᵀ)²) x, four times with the last four of five fitted triples
    w ← (1 - η λ) w - η √max(1, rows / columns) x
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8), (5,)], tolerance=1e-12)
FITTED = [
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
]
SMOOTH = False


def orthogonalize(u: Tensor, steps: int) -> Tensor:
    tall = u.shape[0] > u.shape[1]
    x = u.T if tall else u
    lengths = [1 / (x @ row).abs().sum() ** 0.5 for row in x]
    x = torch.stack([s * row for s, row in zip(lengths, x, strict=True)])
    for a, b, c in (FITTED + FITTED[-1:] * steps)[:steps]:
        gram = x @ x.T
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x.T if tall else x


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.02,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 4,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        b = w * 0
        for step in grads:
            g = step[i]
            b = momentum * b + (1 - momentum) * g
            u = (1 - momentum) * g + momentum * b if nesterov else b
            matrix = u.reshape(1, -1) if u.dim() < 2 else u
            rows, columns = matrix.shape
            o = orthogonalize(matrix, ns_steps).reshape(w.shape)
            w = w - lr * weight_decay * w - lr * max(1.0, rows / columns) ** 0.5 * o
        final.append(w)
    return final
