"""Grafting: the length of one optimizer's step in the direction of another's.

Source: Agarwal, Anil, Hazan, Koren and Zhang, "Disentangling Adaptive Gradient Methods from Learning Rates"
(2020), https://arxiv.org/abs/2002.11803; an author's code https://github.com/optimetry/optimetry

    w ← w + η ‖M‖ / (‖D‖ + ε) · D        M, D: the steps both would take from the same w with the same g

per tensor, or with both norms over all tensors (`over="tree"`, the code's use_global_norm). Both run on the
grafted weights and keep their own states. Here M is SGD with momentum and D is Adam; the lengths include each
one's learning rate, so that D's cancels but for ε = 1e-16.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
    adam_eps: float = 1e-8,
    eps: float = 1e-16,
    over: str = "tensor",
) -> list[Tensor]:
    beta1, beta2 = betas
    buffers, ms, vs = ([torch.zeros_like(w) for w in params] for _ in range(3))
    for t, step in enumerate(grads, start=1):
        buffers = [momentum * b + g for b, g in zip(buffers, step)]
        ms = [beta1 * m + (1 - beta1) * g for m, g in zip(ms, step)]
        vs = [beta2 * v + (1 - beta2) * g**2 for v, g in zip(vs, step)]
        magnitudes = [-lr * b for b in buffers]
        directions = [
            -(m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + adam_eps) for m, v in zip(ms, vs)
        ]
        sizes, lengths = [s.norm() for s in magnitudes], [d.norm() for d in directions]
        if over == "tree":
            sizes = [torch.stack(sizes).norm()] * len(params)
            lengths = [torch.stack(lengths).norm()] * len(params)
        params = [w + s / (n + eps) * d for w, s, n, d in zip(params, sizes, lengths, directions)]
    return params
