"""Runs over fixed gradients: what the textbook, torch and piste are compared on."""

from __future__ import annotations

import torch
from torch import Tensor

SHAPES = [(5, 5), (7, 3), (3, 7), (6,), (1,), ()]
FULL_RANK = [(6, 6), (5, 5), (4,)]  # what parity of matrix methods needs: a null space is arbitrary


def problem(
    shapes: list[tuple[int, ...]], steps: int, seed: int = 0
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Starting weights, and the gradients of every step, in float64."""
    make = torch.Generator().manual_seed(seed)
    params = [torch.randn(s, generator=make, dtype=torch.float64) for s in shapes]
    grads = [[torch.randn(s, generator=make, dtype=torch.float64) for s in shapes] for _ in range(steps)]
    return params, grads


def start(params: list[Tensor]) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(p.clone()) for p in params]


def follow(
    optimizer: torch.optim.Optimizer, live: list[torch.nn.Parameter], grads: list[list[Tensor]]
) -> list[Tensor]:
    """Take one step per row of gradients; the weights at the end."""
    for row in grads:
        for p, g in zip(live, row, strict=True):
            p.grad = g.clone()
        optimizer.step()
    return [p.detach().clone() for p in live]


def distance(a: list[Tensor], b: list[Tensor]) -> float:
    """The largest difference, relative to the largest weight."""
    gaps = [float((x - y).abs().max()) for x, y in zip(a, b, strict=True)]
    return max(gaps) / max(1.0, *(float(y.abs().max()) for y in b))
