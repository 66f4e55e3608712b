"""NAG-GS: a Gauss-Seidel step along Nesterov's accelerated flow.

Source: Leplat, Merkulov, Katrutsa, Bershatsky, Tsymboi and Oseledets, "NAG-GS: Semi-Implicit, Accelerated and Robust
Stochastic Optimizer" (2022), https://arxiv.org/abs/2209.14937; authors' code https://github.com/skolai/nag-gs

    a = α/(α + 1);   b = α μ/(α μ + γ)
    v ← (1 - b) v + b x - (b/μ) g;   x ← (1 - a) x + a v;   γ ← (1 - a) γ + a μ
"""

from __future__ import annotations

from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, mu: float = 1.0, gamma: float = 1.0
) -> list[Tensor]:
    final = []
    for i, x in enumerate(params):
        v, scale = x, gamma
        for step in grads:
            a = lr / (lr + 1)
            b = lr * mu / (lr * mu + scale)
            v = (1 - b) * v + b * x - b / mu * step[i]
            x = (1 - a) * x + a * v
            scale = (1 - a) * scale + a * mu
        final.append(x)
    return final
