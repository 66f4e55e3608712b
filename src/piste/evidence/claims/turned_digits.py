"""Networks that learned digits as they are, fine-tuned on turned ones: what claims of merging merge."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from .merging import Network, random_net, train

TURN = 15.0  # degrees: a task near to what the start knows, as fine-tuning has it
LEARNED, TUNED, HELD, TEST = slice(0, 500), slice(500, 600), slice(600, 1000), slice(1000, 1797)


@lru_cache(8)
def turned(degrees: float) -> tuple[Tensor, Tensor]:
    """scikit-learn's 1797 digits in one random order, turned: 64 pixels each, less the mean digit, and what they
    show."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(pixels, dtype=torch.float64)[order].view(-1, 1, 8, 8) / 16
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0.0]], dtype=torch.float64).expand(len(x), 2, 3)
    grid = torch.nn.functional.affine_grid(turn, list(x.shape), align_corners=False)
    seen = torch.nn.functional.grid_sample(x, grid, align_corners=False)
    return (seen - x.mean(0)).flatten(1), torch.tensor(labels)[order]


def part(degrees: float, rows: slice, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Some of them, with Gaussian noise on every pixel (a full stroke is 1)."""
    x, labels = turned(degrees)
    random = torch.Generator().manual_seed(1)
    spots = torch.randn(x.shape, generator=random, dtype=torch.float64) if noise else torch.zeros_like(x)
    return (x + noise * spots)[rows], labels[rows]


def answers(net: Network, x: Tensor) -> Tensor:
    w, b, v, c = net
    return (x @ w.mT + b).clamp_min(0) @ v.mT + c


def cost(net: Network, x: Tensor, labels: Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(answers(net, x), labels))


def error(net: Network, x: Tensor, labels: Tensor) -> float:
    """The share of wrong answers."""
    return float((answers(net, x).argmax(1) != labels).double().mean())


def tune(
    net: Network, x: Tensor, labels: Tensor, seed: int, lr: float = 0.01, steps: int = 100, batch: int = 25,
    smoothing: float = 0.0, decay: float = 0.0,
) -> Network:  # fmt: skip
    """The network after steps of AdamW on batches drawn at random."""
    random = torch.Generator().manual_seed(seed)
    params = [torch.nn.Parameter(p.clone()) for p in net]
    opt = get("AdamW", "optimizer").target(params, lr=lr, weight_decay=decay)
    shown = (1 - smoothing) * torch.nn.functional.one_hot(labels, 10).double() + smoothing / 10
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=random)
        train(opt, params, x[rows], shown[rows], 1)
    w, b, v, c = (p.detach() for p in params)
    return w, b, v, c


@lru_cache(32)
def start(seed: int, width: int = 64) -> Network:
    """A ReLU network that has learned 500 upright digits."""
    return tune(random_net(seed, width), *part(0.0, LEARNED), seed, steps=200)


WAYS: Sequence[dict[str, Any]] = [
    {"lr": lr, "decay": decay, "smoothing": smoothing}
    for lr in (0.006, 0.012) for decay in (0.0, 0.1) for smoothing in (0.0, 0.1)
]  # fmt: skip


@lru_cache(256)
def tuned(seed: int, way: int) -> Network:
    """It after fine-tuning on 100 digits turned by 15°: one of eight choices of the rate (0.006, 0.012), the decay (0,
    0.1) and the smoothing of labels (0, 0.1), each with batches of its own."""
    return tune(start(seed), *part(TURN, TUNED), 100 * seed + way, **WAYS[way % len(WAYS)])


def merged(method: Callable[..., Tensor], nets: Sequence[Network], *given: Any, **more: Any) -> Network:
    """A merging method on each tensor."""
    w, b, v, c = (method(list(tensors), *given, **more) for tensors in zip(*nets, strict=True))
    return w, b, v, c
