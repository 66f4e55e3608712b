"""SM3 (its second form): AdaGrad whose sums are bounded through covers of rows and columns.

Source: Anil, Gupta, Koren and Singer, "Memory-Efficient Adaptive Optimization" (2019), https://arxiv.org/abs/1901.11150,
algorithm SM3-II; authors' code google-research/sm3: the momentum with 1 - μ, and 1e-30 under the root

    ν'(i) = min over the sets r with i of μ(r), plus g(i)²         w(i) ← w(i) - η g(i) / √ν'(i)
    μ'(r) = max over the i in r of ν'(i)

for every entry i, one by one. A vector's sets are its single entries.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cover(shape: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """The sets, as lists of indices."""
    every = [tuple(int(k) for k in index) for index in torch.ones(shape).nonzero()] if shape else [()]
    if len(shape) < 2:
        return [[index] for index in every]
    return [[index for index in every if index[axis] == k] for axis in (0, 1) for k in range(shape[axis])]


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.1, momentum: float = 0.9, eps: float = 1e-30,
    weight_decay: float = 0.0,
) -> list[Tensor]:  # fmt: skip
    final = []
    for i, w in enumerate(params):
        sets = cover(tuple(w.shape))
        mu, m = [0.0] * len(sets), torch.zeros_like(w)
        for step in grads:
            g, nu = step[i], torch.full_like(w, torch.inf)
            for least, indices in zip(mu, sets):
                for index in indices:
                    nu[index] = min(float(nu[index]), least)
            nu = nu + g**2
            mu = [max(float(nu[index]) for index in indices) for indices in sets]
            m = momentum * m + (1 - momentum) * g / (nu + eps).sqrt()
            w = w - lr * (m + weight_decay * w)
        final.append(w)
    return final
