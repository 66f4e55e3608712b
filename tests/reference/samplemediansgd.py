"""SampleMedianSGD: SGD along the median of several gradients at the same weights.

Source: Schaipp et al., "SGD with Clipping is Secretly Estimating the Median Gradient" (2024),
https://arxiv.org/abs/2402.12828; no code was found

    w ← w - η (med(g_1, ..., g_k) + λ w)        the median of every coordinate

Of a loss that is the same whenever it is asked, as here, the median of the gradients is the gradient; on samples that
differ see `median`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CASES = [{}, {"samples": 4, "weight_decay": 0.1, "lr": 0.1}]


def median(grads: list[Tensor]) -> Tensor:
    """By counting: the middle one of each coordinate's values, or the mean of both."""
    return torch.quantile(torch.stack(grads), 0.5, dim=0)


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1e-2,
    samples: int = 5,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    for _ in range(steps):
        runs = []
        for _ in range(samples):
            leaves = [w.detach().clone().requires_grad_() for w in params]
            runs.append(torch.autograd.grad(loss(leaves), leaves))
        found = [median(list(of_one)) for of_one in zip(*runs)]
        params = [w - lr * (g + weight_decay * w) for w, g in zip(params, found)]
    return params
