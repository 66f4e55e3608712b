"""Operators between functions, to be learned from pairs of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from ..problem import Problem, problem

FINE = 121  # points of (0, 1), where functions are known


@lru_cache(4)
def _root(length: float) -> Tensor:
    x = torch.linspace(0, 1, FINE, dtype=torch.float64)
    kernel = (-(x[:, None] - x).square() / (2 * length**2)).exp()
    return torch.linalg.cholesky(kernel + 1e-10 * torch.eye(FINE, dtype=torch.float64))


def functions(count: int, seed: int, length: float = 0.2) -> Tensor:
    """Draws of a Gaussian process on (0, 1) whose kernel is a Gaussian of this length: one in each row."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, FINE, generator=random, dtype=torch.float64) @ _root(length).mT


def damped(u: Tensor) -> Tensor:
    """s of s' = u - s³, s(0) = 0, by the midpoint rule: not linear in u."""
    s, found, step = torch.zeros(len(u), dtype=u.dtype), [], 1 / (FINE - 1)
    for i in range(FINE):
        found.append(s)
        if i + 1 < FINE:
            half = s + step / 2 * (u[:, i] - s**3)
            s = s + step * ((u[:, i] + u[:, i + 1]) / 2 - half**3)
    return torch.stack(found, 1)


def evenly(count: int) -> Tensor:
    return torch.linspace(0, FINE - 1, count).round().long()


SENSORS, PLACES = evenly(21), evenly(13)


def deeponet(parts: Mapping[str, Tensor], u: Tensor) -> Tensor:
    """A branch of 21 sensors and a trunk, each with one hidden layer of 40 tanh, 20 products, at 13 places: a row for
    each function."""
    y = torch.linspace(0, 1, FINE, dtype=torch.float64)[PLACES, None]
    branch = torch.tanh(u[:, SENSORS] @ parts["branch.0"] + parts["branch.0.bias"]) @ parts["branch.1"]
    trunk = torch.tanh(4 * (y @ parts["trunk.0"] + parts["trunk.0.bias"])) @ parts["trunk.1"]
    return branch @ trunk.mT / 20**0.5


SHAPES = {
    "branch.0": (21, 40), "branch.0.bias": (40,), "branch.1": (40, 20), "trunk.0": (1, 40), "trunk.0.bias": (40,),
    "trunk.1": (40, 20),
}  # fmt: skip


@problem
def operator_network(count: int = 25, seed: int = 0) -> Problem:
    """f = mean squared error of :func:`deeponet` on ``count`` functions u of a Gaussian process and their s of s' = u -
    s³, s(0) = 0. The start is Gaussian, scaled by inputs.

    Source: "DeepONet: Learning nonlinear operators for identifying differential equations based on the universal
    approximation theorem of operators", Lu Lu, Pengzhan Jin, George Em Karniadakis, 2019.
    """
    random = torch.Generator().manual_seed(seed)
    shown = functions(count, seed)
    wanted = damped(shown)[:, PLACES]
    start = [
        torch.randn(s, generator=random, dtype=torch.float64) / (s[0] if len(s) > 1 else 1) ** 0.5
        for s in SHAPES.values()
    ]
    flat = torch.cat([part.flatten() for part in start])

    def parts(x: Tensor) -> dict[str, Tensor]:
        sizes = [part.numel() for part in start]
        return {name: cut.view(s) for cut, (name, s) in zip(x.split(sizes), SHAPES.items(), strict=True)}

    def loss(x: Tensor) -> Tensor:
        return (deeponet(parts(x), shown) - wanted).square().mean()

    return Problem("an operator learned by a DeepONet", loss, flat, shapes=SHAPES)


def fresh_error(parts: Mapping[str, Tensor], seed: int) -> Tensor:
    """The mean squared error on 200 other functions."""
    fresh = functions(200, seed + 500)
    return (deeponet(parts, fresh) - damped(fresh)[:, PLACES]).square().mean()
