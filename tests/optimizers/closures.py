"""Smooth losses for the methods that evaluate the loss themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from piste._noise import normal, stream

Loss = Callable[[list[Tensor]], Tensor]


def network(seed: int = 0) -> tuple[list[Tensor], Loss]:
    """A two-layer tanh regression in float64: weights and their loss."""
    make = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 5, generator=make, dtype=torch.float64)
    y = torch.randn(40, 2, generator=make, dtype=torch.float64)
    params = [0.5 * torch.randn(s, generator=make, dtype=torch.float64) for s in ((5, 4), (4,), (4, 2))]

    def loss(w: list[Tensor]) -> Tensor:
        return ((x @ w[0] + w[1]).tanh() @ w[2] - y).square().mean()

    return params, loss


def valley() -> tuple[list[Tensor], Loss]:
    """Rosenbrock's, in two tensors."""

    def loss(w: list[Tensor]) -> Tensor:
        return (1 - w[0]).square().sum() + 100 * (w[1] - w[0].square()).square().sum()

    return [torch.full((2,), v, dtype=torch.float64) for v in (-1.2, 1.0)], loss


def descend(
    optimizer: torch.optim.Optimizer, live: list[torch.nn.Parameter], loss: Loss, steps: int
) -> list[Tensor]:
    """Take the steps; the weights at the end."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(live)  # type: ignore[arg-type]
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(closure)
    return [p.detach().clone() for p in live]


def draws(optimizer: torch.optim.Optimizer) -> Callable[[int], list[Tensor]]:
    """The standard normals of which the optimizer's probes are made, by step (1, 2, …): given to textbooks."""
    leaves = [leaf for group in optimizer.leaves() for leaf in group]  # type: ignore[attr-defined]

    def of(step: int) -> list[Tensor]:
        return [normal(leaf.param.detach(), stream(optimizer.seed, leaf.name, step)) for leaf in leaves]  # type: ignore[attr-defined]

    return of


def logistic(seed: int = 0) -> tuple[list[Tensor], Loss]:
    """Regularised logistic regression on overlapping classes, in two tensors: smooth and strongly convex."""
    make = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 9, generator=make, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(60, generator=make, dtype=torch.float64)).sign()
    params = [torch.randn(s, generator=make, dtype=torch.float64) for s in ((3, 2), (3,))]

    def loss(w: list[Tensor]) -> Tensor:
        v = torch.cat([p.flatten() for p in w])
        return torch.nn.functional.softplus(-y * (x @ v)).mean() + 0.01 * v.square().sum()

    return params, loss
