"""AdamP: Adam's step without its part along weights to which the gradient is at right angles.

Source: Heo, Chun, Oh, Han, Yun, Kim, Uh and Ha, "AdamP: Slowing Down the Slowdown for Momentum Optimizers on
Scale-invariant Weights" (2021), https://arxiv.org/abs/2006.08217; authors' code https://github.com/clovaai/AdamP

`projected`: for each grouping in turn, the rows and then the whole tensor: where |cos(g, w)| of every group is under
δ/√(its size) the step loses its part along each group of weights, and the decay is multiplied by r. Vectors, and here
matrices of one row, are left alone.
"""

from __future__ import annotations

import torch
from torch import Tensor


def projected(
    u: Tensor, w: Tensor, g: Tensor, delta: float, wd_ratio: float, eps: float
) -> tuple[Tensor, float]:
    if w.dim() < 2 or len(w) == 1:
        return u, 1.0
    for groups in (len(w), 1):
        ws, gs, us = (x.reshape(groups, -1) for x in (w, g, u))
        cosines = [
            abs(float(a @ b)) / (max(float(a.norm()), eps) * max(float(b.norm()), eps))
            for a, b in zip(ws, gs, strict=True)
        ]
        if max(cosines) < delta / ws.shape[1] ** 0.5:
            unit = [a / (a.norm() + eps) for a in ws]
            level = [b - (a @ b) * a for a, b in zip(unit, us, strict=True)]
            return torch.stack(level).reshape(w.shape), wd_ratio
    return u, 1.0


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    delta: float = 0.1,
    wd_ratio: float = 0.1,
    nesterov: bool = False,
) -> list[Tensor]:
    beta1, beta2 = betas
    final = []
    for i, w in enumerate(params):
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g = step[i]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            top = beta1 * m + (1 - beta1) * g if nesterov else m
            u = top / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)
            u, ratio = projected(u, w, g, delta, wd_ratio, eps)
            w = (1 - lr * weight_decay * ratio) * w - lr * u
        final.append(w)
    return final
