"""NorMuon: Muon with rows of the orthogonalized update divided by their running size.

Source: Li, Liu, Liang, Chen and Zhao, "NorMuon: Making Muon more efficient and scalable" (2025),
https://arxiv.org/abs/2510.05491; authors' code https://github.com/zichongli5/NorMuon

    b ← μ b + (1 - μ) g;  u ← (1 - μ) g + μ b  (Nesterov)  or  b
    o ← five quintic steps on u / (‖u‖_F + 1e-7)
    v ← β₂ v + (1 - β₂) (mean of each row of o²);  p ← o / (√v + 1e-10)
    w ← (1 - η λ) w - η √max(1, rows / columns) p ‖o‖ / (‖p‖ + 1e-10)

Where things differ: the paper's algorithm ends in η̂ = 0.2 η √(mn) / ‖p‖ in place of the last line's factors; the code
is as above, and takes a convolution's rows from its last axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False
CASE = dict(shapes=[(6, 6), (8, 4), (4, 8), (5,)], tolerance=1e-12)


def orthogonalize(u: Tensor, steps: int) -> Tensor:
    x = u.T if u.shape[0] > u.shape[1] else u
    x = x / (x.square().sum().sqrt() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x.T if u.shape[0] > u.shape[1] else x


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.02,
    momentum: float = 0.95,
    beta2: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        b, v = torch.zeros_like(w), None
        for step in grads:
            g = step[i]
            b = momentum * b + (1 - momentum) * g
            u = (1 - momentum) * g + momentum * b if nesterov else b
            o = orthogonalize(u.reshape(1, -1) if u.dim() < 2 else u, ns_steps)
            rows, columns = o.shape
            size = torch.stack([row.square().sum() / columns for row in o])
            v = (1 - beta2) * size if v is None else beta2 * v + (1 - beta2) * size
            p = torch.stack([row / (x.sqrt() + 1e-10) for row, x in zip(o, v, strict=True)])
            p = p * (o.norm() / (p.norm() + 1e-10)) * max(1.0, rows / columns) ** 0.5
            w = w - lr * weight_decay * w - lr * p.reshape(w.shape)
        final.append(w)
    return final
