"""GGT: full-matrix AdaGrad on a window of decayed gradients.

Source: Agarwal, Bullins, Chen, Hazan, Singh, Zhang and Zhang, "Efficient Full-Matrix Adaptive Regularization"
(2019), https://proceedings.mlr.press/v97/agarwal19b.html

With all parameters as one vector:

    v ← β₁ v + (1 - β₁) g
    G = [g_t, β₂ g_{t-1}, β₂² g_{t-2}, ...], the last r = `ngrads`
    w ← w - η [(G Gᵀ)^½ + ε I]⁻¹ v

Written with the root of the d × d matrix itself. Weight decay is added to the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

CASE = dict(tolerance=1e-7, hyper={"ngrads": 6, "eps": 0.1, "betas": (0.5, 0.9)})
SMOOTH = (
    False  # gradients that are nearly parallel: differences of runs drown in the rounding of their products
)


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def unflat(x: Tensor, like: list[Tensor]) -> list[Tensor]:
    return [part.reshape(t.shape) for part, t in zip(x.split([t.numel() for t in like]), like)]


def root(a: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(a)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 1.0),
    eps: float = 1e-2,
    weight_decay: float = 0.0,
    ngrads: int = 32,
) -> list[Tensor]:
    w = flat(params)
    eye, v = torch.eye(len(w), dtype=w.dtype), torch.zeros_like(w)
    window: list[Tensor] = []
    for row in grads:
        g = flat(row) + weight_decay * w
        window = [*window, g][-ngrads:]
        v = betas[0] * v + (1 - betas[0]) * g
        decayed = [betas[1] ** age * x for age, x in enumerate(reversed(window))]
        full = root(sum(torch.outer(x, x) for x in decayed))
        w = w - lr * torch.linalg.solve(full + eps * eye, v)
    return unflat(w, params)
