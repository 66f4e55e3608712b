"""SM3 (its first form): AdaGrad whose sums are bounded through covers of rows and columns.

Source: Anil, Gupta, Koren and Singer, "Memory-Efficient Adaptive Optimization" (2019), https://arxiv.org/abs/1901.11150,
algorithm SM3-I; momentum and the 1e-30 under the root as in the authors' code of SM3-II

    μ(r) ← μ(r) + max over the i in r of g(i)²        ν(i) = min over the sets r with i of μ(r)
    w(i) ← w(i) - η g(i) / √ν(i)
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.1, momentum: float = 0.9, eps: float = 1e-30,
    weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for t in range(1, len(grads) + 1):
            squares = torch.stack([grads[s][i] ** 2 for s in range(t)])
            if w.ndim == 2:
                rows, cols = squares.amax(2).sum(0), squares.amax(1).sum(0)
                nu = torch.minimum(rows[:, None].expand_as(w), cols[None, :].expand_as(w))
            else:
                nu = squares.sum(0)
            m = momentum * m + (1 - momentum) * grads[t - 1][i] / (nu + eps).sqrt()
            w = w - lr * (m + weight_decay * w)
        final.append(w)
    return final
