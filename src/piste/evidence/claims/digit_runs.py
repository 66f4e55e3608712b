"""Small networks on digits under a schedule: what claims of whole runs look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from .merging import Network, random_net, train

Schedule = Callable[[int], float]


@lru_cache(1)
def shuffled() -> tuple[Tensor, Tensor]:
    """scikit-learn's 1797 digits in one random order: 64 pixels each, less the mean digit, and what they show."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(pixels, dtype=torch.float64)[order] / 16
    return x - x.mean(0), torch.tensor(labels)[order]


KNOWN, NEW = slice(0, 1000), slice(1000, 1797)


def answers(net: Network, x: Tensor) -> Tensor:
    w, b, v, c = net
    return (x @ w.mT + b).clamp_min(0) @ v.mT + c


def loss(net: Network, rows: slice = NEW) -> float:
    x, labels = shuffled()
    return float(torch.nn.functional.cross_entropy(answers(net, x[rows]), labels[rows]))


def run(
    seed: int, schedule: Schedule, lr: float, at: Sequence[int], rows: slice = KNOWN, start: Network | None = None,
    width: int = 32, batch: int = 50, optimizer: str = "SGD", **hyper: Any,
) -> list[Network]:  # fmt: skip
    """The network after each of so many steps on batches drawn at random, its rate ``lr`` times the schedule."""
    random, (x, labels) = torch.Generator().manual_seed(seed), shuffled()
    params = [torch.nn.Parameter(p.clone()) for p in (start or random_net(seed, width))]
    opt, seen = get(optimizer, "optimizer").target(params, lr=lr, **hyper), []
    x, shown = x[rows], torch.nn.functional.one_hot(labels[rows], 10).double()
    for t in range(at[-1]):
        opt.param_groups[0]["lr"] = lr * schedule(t)
        drawn = torch.randint(len(x), (batch,), generator=random)
        train(opt, params, x[drawn], shown[drawn], 1)
        if t + 1 in at:
            w, b, v, c = (p.detach().clone() for p in params)
            seen.append((w, b, v, c))
    return seen
