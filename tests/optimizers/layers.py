"""A small classifier for the methods that watch layers: its weights, its batches, and a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


def classifier(seed: int = 0) -> nn.Sequential:
    """Three layers with tanh between them, in float64."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def batches(count: int, rows: int = 24, seed: int = 1) -> list[Batch]:
    make = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(rows, 6, generator=make, dtype=torch.float64),
            torch.randint(3, (rows,), generator=make),
        )
        for _ in range(count)
    ]


def fit(model: nn.Module, opt: torch.optim.Optimizer, data: list[Batch]) -> list[Tensor]:
    """A step per batch; the weights at the end."""
    for x, y in data:
        opt.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        opt.step()
    return [p.detach().clone() for p in model.parameters()]
