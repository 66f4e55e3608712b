"""A small network on digits, for comparisons of methods that are all tuned."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..tuning import tuned
from .digit_runs import NEW, shuffled

SCALE = "scikit-learn's digits, 1,000 of them known, networks of 32 hidden units, 300 batches of 50, each side the "
SCALE += "best of at least 4 rates"
RATES = (1e-3, 4e-3, 1.6e-2)  # of methods whose steps are of the rate's size


def error(
    method: Any, seed: int, rate: float, *, steps: int = 300, normalized: bool = False, noise: float = 0.0,
    **hyper: Any,
) -> float:  # fmt: skip
    """The loss on new digits at a rate that falls linearly to 0. ``normalized``: the hidden units'
    inputs by their mean and deviation over the batch, so that the first weights are scale-invariant by rows; ``noise``:
    of the deviation of what is added to gradients."""
    random, (x, labels) = torch.Generator().manual_seed(seed), shuffled()
    sizes = ((32, 64), (32,), (10, 32), (10,))
    params = [
        torch.nn.Parameter(torch.randn(s, generator=random, dtype=torch.float64) / s[-1] ** 0.5)
        for s in sizes
    ]
    opt = method(params, lr=rate, **hyper)
    first = opt.param_groups[0]["lr"]

    def loss(at: Tensor) -> Tensor:
        w, b, v, c = params
        h = x[at] @ w.mT
        if normalized:
            h = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()
        return torch.nn.functional.cross_entropy((h + b).clamp_min(0) @ v.mT + c, labels[at])

    for t in range(steps):
        opt.param_groups[0]["lr"] = first * (1 - t / steps)
        for p, g in zip(
            params, torch.autograd.grad(loss(torch.randint(1000, (50,), generator=random)), params)
        ):
            p.grad = g + noise * torch.randn(g.shape, generator=random, dtype=g.dtype) if noise else g
        opt.step()
    with torch.no_grad():
        end = float(loss(torch.arange(1797)[NEW]))
    return end if math.isfinite(end) else math.inf


@functools.cache
def best_of(names: tuple[str, ...], seed: int, rates: Sequence[float] = RATES, **hyper: Any) -> float:
    """The least error of some optimizers, each at its best rate."""
    return min(best(get(name, "optimizer").target, seed, rates, **hyper) for name in names)


def best(method: Any, seed: int, rates: Sequence[float] = RATES, **hyper: Any) -> float:
    """A method's error at its best rate."""
    return tuned(lambda rate: error(method, seed, rate, **hyper), rates).score
