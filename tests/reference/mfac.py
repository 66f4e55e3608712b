"""M-FAC: the inverse of the empirical Fisher matrix of a window of gradients, times the newest one.

Source: Frantar, Kurtic and Alistarh, "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information"
(2021), https://arxiv.org/abs/2107.03356; authors' code https://github.com/IST-DASLab/M-FAC

With all parameters as one vector, over the last m = `ngrads` gradients (zeros before the first):

    F = λ I + (1 / m) Σ g gᵀ,    u = F⁻¹ g,    v ← μ v + (1 - μ) u,    w ← w - η v

Written with the d × d matrix itself. Weight decay is added to the gradient before it enters the window. Without
momentum (μ = 0) v = u.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(tolerance=1e-9, hyper={"ngrads": 6, "damp": 0.01, "momentum": 0.5})


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def unflat(x: Tensor, like: list[Tensor]) -> list[Tensor]:
    return [part.reshape(t.shape) for part, t in zip(x.split([t.numel() for t in like]), like)]


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    ngrads: int = 32,
    damp: float = 1e-3,
) -> list[Tensor]:
    w = flat(params)
    eye, v = torch.eye(len(w), dtype=w.dtype), torch.zeros_like(w)
    window: list[Tensor] = []
    for row in grads:
        g = flat(row) + weight_decay * w
        window = [*window, g][-ngrads:]
        fisher = damp * eye + sum(torch.outer(x, x) for x in window) / ngrads
        v = momentum * v + (1 - momentum) * torch.linalg.solve(fisher, g)
        w = w - lr * v
    return unflat(w, params)
