"""Muon: momentum, orthogonalized.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/; authors' code https://github.com/KellerJordan/Muon

    b ← μ b + (1 - μ) g                  an average, not a sum
    u ← (1 - μ) g + μ b  (Nesterov)  or  b
    o ← five quintic steps on u / (‖u‖_F + 1e-7), on the side that is not taller than wide, in bf16
    w ← (1 - η λ) w - η √max(1, rows / columns) o

`dtype` is what the quintic steps run in: None keeps the gradient's (float64 here), torch.bfloat16 is the
authors'.

Where things differ:
- The authors flatten a convolution kernel to out × (in · h · w) for the iteration but take the scale from the
  gradient's own last two axes, so from h / w, which is 1 for square kernels. `conv_scale="authors"` (default)
  does so, `"view"` uses the flattened matrix.
- Their step writes the interpolation into p.grad and rounds o · scale to bf16; neither is repeated here.
- An earlier version summed the momentum (b ← μ b + g, u = g + μ b): the same direction, so after the division
  by the norm the same step, but for the 1e-7.
- torch.optim.Muon follows this file except that the norm is clamped below by ε instead of having it added,
  lr 1e-3 and weight_decay 0.1 are its defaults, and only 2-D parameters are taken.
- Liu et al., "Muon is Scalable for LLM Training" (2025), https://arxiv.org/abs/2502.16982, scale by
  0.2 √max(rows, columns) instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False  # it iterates in bf16

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8)], tolerance=0.05)  # ours iterates in bf16


def orthogonalize(u: Tensor, steps: int, dtype: torch.dtype | None) -> Tensor:
    x = u if dtype is None else u.to(dtype)
    x = x.mT if u.shape[0] > u.shape[1] else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    x = x.mT if u.shape[0] > u.shape[1] else x
    return x.to(u.dtype)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.02,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    weight_decay: float = 0.0,
    dtype: torch.dtype | None = None,
    conv_scale: str = "authors",
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        b = torch.zeros_like(w)
        for step in grads:
            g = step[i]
            b = momentum * b + (1 - momentum) * g
            u = (1 - momentum) * g + momentum * b if nesterov else b
            matrix = u.reshape(len(u), -1)
            rows, columns = g.shape[-2:] if conv_scale == "authors" else matrix.shape
            o = orthogonalize(matrix, ns_steps, dtype).reshape(w.shape)
            w = (1 - lr * weight_decay) * w - lr * max(1.0, rows / columns) ** 0.5 * o
        final.append(w)
    return final
