"""Stochastic gradient descent with momentum, as torch.optim.SGD defines it.

Sources:
- Robbins and Monro, "A Stochastic Approximation Method" (1951), https://doi.org/10.1214/aoms/1177729586
- Polyak, "Some methods of speeding up the convergence of iteration methods" (1964),
  https://doi.org/10.1016/0041-5553(64)90137-5 (momentum)
- Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning"
  (2013), https://proceedings.mlr.press/v28/sutskever13.html (Nesterov's form for networks)

    g ← g + λ w                          L2 penalty, not decoupled
    b ← μ b + (1 - τ) g                  but b ← g at the first step, whatever the dampening τ
    w ← w - η (g + μ b  if Nesterov else  b)

Deviations of torch, kept here: the first buffer is undampened; η stands outside the buffer (Sutskever et al.
keep it inside, which differs as soon as η moves); momentum is a sum, not an average.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        b = torch.zeros_like(w)
        for t, step in enumerate(grads):
            g = step[i] + weight_decay * w
            b = g if t == 0 else momentum * b + (1 - dampening) * g
            update = g if momentum == 0 else g + momentum * b if nesterov else b
            w = w - lr * update
        final.append(w)
    return final
