"""RMSProp, as torch.optim.RMSprop defines it.

Sources: Tieleman and Hinton, "Lecture 6.5 - rmsprop: Divide the gradient by a running average of its recent
magnitude" (2012), https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; Graves,
"Generating Sequences With Recurrent Neural Networks" (2013), https://arxiv.org/abs/1308.0850 (centred)

    g ← g + λ w
    v ← α v + (1 - α) g²                 a ← α a + (1 - α) g
    d ← √v + ε                           centred: √(v - a²) + ε
    b ← μ b + g / d                      w ← w - η b        (μ = 0: w ← w - η g / d)

Deviations of torch, kept here: v starts at 0 (TensorFlow 1 starts at 1); ε outside the root (TensorFlow 1 and
Graves: inside); η outside the momentum buffer (TensorFlow 1 and Graves: inside).
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        v, a, b = (torch.zeros_like(w) for _ in range(3))
        for step in grads:
            g = step[i] + weight_decay * w
            v = alpha * v + (1 - alpha) * g**2
            a = alpha * a + (1 - alpha) * g
            variance = v - a**2 if centered else v
            b = momentum * b + g / (variance.sqrt() + eps)
            w = w - lr * b
        final.append(w)
    return final
