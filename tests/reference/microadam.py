"""MicroAdam: Adam from a window of sparse gradients, with error feedback in four bits.

Source: Modoranu, Safaryan, Malinovsky, Kurtic, Robert, Richtarik and Alistarh, "MicroAdam: Accurate Adaptive
Optimization with Low Space Overhead and Provable Convergence" (2024), https://arxiv.org/abs/2405.15593, algorithm 1;
authors' code https://github.com/IST-DASLab/ISTA-DASLab-Optimizers

    a = g + Q⁻¹(e);   c = the largest k of each block of a;   δ, Δ = min, max of each bucket of a - c;   e = Q(a - c)
    Q(x) = ⌊(x - δ) / u + ½⌋, u = (Δ - δ) / 15;   Q⁻¹(q) = q u + δ
    m̂ = (1 - β₁) / (1 - β₁ᵗ) Σ β₁^r c_r,   v̂ = (1 - β₂) / (1 - β₂ᵗ) Σ β₂^r c_r²   over the last `ngrads`
    w ← w - η (m̂ / (ε + √v̂) + λ w)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CASE = dict(
    shapes=[(5, 5), (7, 3), (3, 7), (6,), (1,), ()],
    tolerance=1e-12,
    hyper={"ngrads": 4, "density": 0.3, "topk_block_size": 8, "quant_block_size": 6},
)


def sparse(a: Tensor, block: int, density: float) -> Tensor:
    c = torch.zeros_like(a)
    for start in range(0, len(a), block):
        part = a[start : start + block]
        for k in part.abs().argsort(descending=True)[: math.ceil(density * len(part))]:
            c[start + k] = part[k]
    return c


def rounded(x: Tensor, bucket: int) -> Tensor:
    """Q⁻¹(Q(x))."""
    parts = []
    for part in x.split(bucket):
        low, high = part.min(), part.max()
        unit = (high - low) / 15
        q = ((part - low) / unit + 0.5).floor() if unit > 0 else torch.zeros_like(part)
        parts.append(q * unit + low)
    return torch.cat(parts)


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8, weight_decay: float = 0.0, ngrads: int = 10, density: float = 0.01,
    topk_block_size: int = 16384, quant_block_size: int = 64,
) -> list[Tensor]:  # fmt: skip
    b1, b2 = betas
    final = []
    for i, p in enumerate(params):
        w = p.reshape(-1)
        error, window = torch.zeros_like(w), []
        for t, step in enumerate(grads, start=1):
            a = step[i].reshape(-1) + error
            c = sparse(a, topk_block_size, density)
            error = rounded(a - c, quant_block_size)
            seen = [c, *window][:ngrads]
            m = (1 - b1) / (1 - b1**t) * sum(b1**r * x for r, x in enumerate(seen))
            v = (1 - b2) / (1 - b2**t) * sum(b2**r * x**2 for r, x in enumerate(seen))
            w = w - lr * (m / (eps + v.sqrt()) + weight_decay * w)
            window = [c, *window][:ngrads]
        final.append(w.reshape(p.shape))
    return final
