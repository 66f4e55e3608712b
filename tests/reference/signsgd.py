"""SignSGD: the sign of the gradient.

Source: Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems"
(2018), https://arxiv.org/abs/1802.04434, algorithm 1; decay decoupled.

    w ← (1 - η λ) w - η sign(g)
"""

from __future__ import annotations

from torch import Tensor

SMOOTH = False  # steps of one size


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-4, weight_decay: float = 0.0
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        for step in grads:
            w = (1 - lr * weight_decay) * w - lr * step[i].sign()
        final.append(w)
    return final
