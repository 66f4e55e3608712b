"""Sums over rows of data, whose every constant is known, and runs of stochastic methods on them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

RUNS = 64  # beside each other, for an expectation


@dataclass(frozen=True)
class Rows:
    """f = mean of fᵢ, fᵢ(x) = φ(aᵢᵀx, bᵢ) + λ/2 ‖x‖². ``bend``: the largest φ″, ``flat``: the least."""

    a: Tensor
    b: Tensor
    cost: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    second: Callable[[Tensor, Tensor], Tensor]
    bend: float
    flat: float
    ridge: float = 0.0

    @cached_property
    def spectrum(self) -> Tensor:
        return torch.linalg.eigvalsh(self.a.mT @ self.a / len(self.a))

    @property
    def row_smooth(self) -> float:
        """The largest smoothness of an fᵢ."""
        return self.bend * float(self.a.square().sum(1).max()) + self.ridge

    @property
    def smooth(self) -> float:
        return self.bend * float(self.spectrum[-1]) + self.ridge

    @property
    def strength(self) -> float:
        return self.flat * max(float(self.spectrum[0]), 0.0) + self.ridge

    @cached_property
    def best(self) -> Tensor:
        """The minimizer nearest to 0, by Newton's method."""
        x, eye = torch.zeros_like(self.a[0]), torch.eye(self.a.shape[1], dtype=torch.float64)
        for _ in range(30):
            z = self.a @ x
            bent = self.a.mT @ (self.a * self.second(z, self.b).unsqueeze(1)) / len(self.a) + self.ridge * eye
            x = x - torch.linalg.pinv(bent, hermitian=True) @ self.gradient(x)
        return x

    @property
    def spread(self) -> float:
        """σ², the mean of ‖∇fᵢ‖² at the minimizer, where their mean is 0."""
        each = self.a * self.slope(self.a @ self.best, self.b).unsqueeze(1) + self.ridge * self.best
        return float(each.square().sum(1).mean())

    @cached_property
    def minimum(self) -> float:
        return float(self.loss(self.best))

    def loss(self, x: Tensor) -> Tensor:
        """f at each of the points [..., d]."""
        return self.cost(x @ self.a.mT, self.b).mean(-1) + 0.5 * self.ridge * x.square().sum(-1)

    def gradient(self, x: Tensor) -> Tensor:
        return self.slope(x @ self.a.mT, self.b) @ self.a / len(self.a) + self.ridge * x

    def drawn(self, x: Tensor, rows: Tensor) -> Tensor:
        """Gradients at the points [runs, d] of the rows [runs, batch] that each of them drew."""
        a, b = self.a[rows], self.b[rows]
        z = (a @ x.unsqueeze(-1)).squeeze(-1)
        return (self.slope(z, b).unsqueeze(-1) * a).mean(1) + self.ridge * x


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def squares(seed: int, rows: int = 40, size: int = 8, noise: float = 1.0, ridge: float = 0.0) -> Rows:
    """Least squares on rows of unequal length; without noise every row can be met."""
    a = _normal(7 * seed, rows, size) * (0.5 + torch.linspace(0, 1, rows, dtype=torch.float64)).unsqueeze(1)
    b = a @ _normal(7 * seed + 1, size) + noise * _normal(7 * seed + 2, rows)
    return fitted(a, b, ridge)


def fitted(a: Tensor, b: Tensor, ridge: float = 0.0) -> Rows:
    """Least squares on given rows."""
    return Rows(
        a, b, lambda z, b: 0.5 * (z - b).square(), lambda z, b: z - b, lambda z, b: torch.ones_like(z), 1.0, 1.0, ridge
    )  # fmt: skip


def classes(seed: int, rows: int = 60, size: int = 5, ridge: float = 0.0) -> Rows:
    """Logistic regression, a fifth of the labels wrong."""
    a = _normal(7 * seed + 3, rows, size)
    b = torch.sign(a @ _normal(7 * seed + 4, size)) * torch.where(torch.arange(rows) % 5 == 0, -1.0, 1.0)

    def second(z: Tensor, b: Tensor) -> Tensor:
        return torch.sigmoid(z) * torch.sigmoid(-z)

    return Rows(
        a, b, lambda z, b: torch.nn.functional.softplus(-b * z), lambda z, b: -b * torch.sigmoid(-b * z), second, 0.25,
        0.0, ridge,
    )  # fmt: skip


def single(seed: int, count: int, batch: int = 1, runs: int = RUNS) -> Iterator[Tensor]:
    """Rows for every step and run, a batch without twins."""
    random = torch.Generator().manual_seed(seed)
    while True:
        if batch == 1:
            yield torch.randint(count, (runs, 1), generator=random)
        else:
            yield torch.rand(runs, count, generator=random).argsort(1)[:, :batch]


def reshuffled(seed: int, count: int, runs: int = RUNS) -> Iterator[Tensor]:
    """Rows for every step and run, in a new random order every epoch."""
    random = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.rand(runs, count, generator=random).argsort(1).mT.unsqueeze(-1)


Moving = Callable[[int], float] | float | tuple[float, ...]  # a number for every step, or one for all


def wander(
    method: Any, gradient: Callable[[Tensor], Tensor], start: Tensor, steps: int, **hyper: Moving
) -> Iterator[Tensor]:  # fmt: skip
    """The points of all runs before every step and after the last; hyperparameters may be functions of t = 0, 1, …"""
    first = {name: value(0) if callable(value) else value for name, value in hyper.items()}
    moving = {name: value for name, value in hyper.items() if callable(value)}
    x = torch.nn.Parameter(start.clone())
    opt = method([x], **first)
    group = opt.param_groups[0]
    factor = {name: group[name] / first[name] for name in moving}  # of a method that is not as it is told
    yield x.detach().clone()
    for t in range(steps):
        for name, value in moving.items():
            group[name] = factor[name] * value(t)
        x.grad = gradient(x.detach())
        opt.step()
        yield x.detach().clone()


def stochastic(
    method: Any, f: Rows, seed: int, steps: int, batch: int = 1, **hyper: Moving
) -> Tensor:  # fmt: skip
    """The points [steps + 1, runs, d] of SGD from 0."""
    draws = single(seed + 500, len(f.a), batch)
    start = torch.zeros(RUNS, f.a.shape[1], dtype=torch.float64)
    return torch.stack(list(wander(method, lambda x: f.drawn(x, next(draws)), start, steps, **hyper)))


def upto(last: int, first: int = 0) -> Tensor:
    """The steps first … last, as numbers that powers do not round to float32."""
    return torch.arange(first, last + 1, dtype=torch.float64)


def distances(points: Tensor, best: Tensor) -> Tensor:
    """E ‖x_t - x*‖² for each t, over the runs."""
    return (points - best).square().sum(-1).mean(-1)


def largest(seen: Tensor, bound: Tensor) -> float:
    """The largest of seen / bound: at most 1 where the bound holds; what is not finite counts as infinite."""
    ratio = (seen / bound).nan_to_num(nan=torch.inf, posinf=torch.inf)
    return float(ratio.max())
