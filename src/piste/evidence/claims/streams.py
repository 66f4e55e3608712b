"""Networks that learn a noisy teacher from a stream, where no sample comes twice: training runs in the small, of
several rates and draws side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._registry import get

RUNS, UNITS, SIZE = 8, 16, 12
STREAM = f"{RUNS} ReLU networks of {UNITS} units on a stream from noisy teachers of {2 * UNITS}"


class Stream:
    """Inputs of variances 1/k, answers of a ReLU teacher with Gaussian noise of deviation 1/2."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.scale = torch.arange(1, SIZE + 1, dtype=torch.float64) ** -0.5
        self.teacher = self.normal(RUNS, 2 * UNITS, SIZE), self.normal(RUNS, 2 * UNITS) / UNITS**0.5
        self.start = self.normal(RUNS, UNITS, SIZE) / SIZE**0.5, self.normal(RUNS, UNITS) / UNITS**0.5
        self.tests = self.inputs(1000)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random, dtype=torch.float64)

    def inputs(self, count: int) -> Tensor:
        return self.scale * self.normal(RUNS, count, SIZE)

    def answers(self, x: Tensor) -> Tensor:
        w, v = self.teacher
        return ((x @ w.mT).clamp_min(0) @ v.unsqueeze(-1)).squeeze(-1)

    def slopes(self, w: Tensor, v: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Of half the mean squared error on a fresh batch, for networks [rates, runs, …]."""
        x = self.inputs(batch)
        before = x @ w.mT
        hidden = before.clamp_min(0)
        off = (hidden @ v.unsqueeze(-1)).squeeze(-1) - self.answers(x) - 0.5 * self.normal(RUNS, batch)
        back = off.unsqueeze(-1) * v.unsqueeze(-2) * (before > 0)
        return back.mT @ x / batch, (off.unsqueeze(-2) @ hidden).squeeze(-2) / batch

    def gap(self, w: Tensor, v: Tensor) -> Tensor:
        """Half the mean squared distance from the teacher, by rate."""
        seen = ((self.tests @ w.mT).clamp_min(0) @ v.unsqueeze(-1)).squeeze(-1)
        return 0.5 * (seen - self.answers(self.tests)).square().mean((1, 2))


def learn(
    seed: int, schedule: Callable[[int], float], rates: Tensor, at: Sequence[int], batch: int = 8, averaged: int = 0,
    optimizer: str = "AdamW", **hyper: Any,
) -> Tensor:  # fmt: skip
    """The gaps by rate after each of so many steps, and last those of the average over the ``averaged`` last points.

    One optimizer moves them all. What it moves are weights over their rate, or over its root where steps are
    proportional to gradients."""
    p = Stream(seed)
    adam = optimizer == "AdamW"
    by = [(rates if adam else rates.sqrt()).view(-1, *[1] * part.ndim) for part in p.start]
    params = [torch.nn.Parameter(part / rate) for part, rate in zip(p.start, by, strict=True)]
    more = {"eps": 1e-20, "weight_decay": 0.0} if adam else {}
    opt = get(optimizer, "optimizer").target(params, lr=1.0, **more, **hyper)
    mean, seen = [torch.zeros_like(x) for x in params], []
    for t in range(at[-1]):
        w, v = (x.detach() * rate for x, rate in zip(params, by, strict=True))
        for x, slope, rate in zip(params, p.slopes(w, v, batch), by, strict=True):
            x.grad = rate * slope
        opt.param_groups[0]["lr"] = schedule(t)
        opt.step()
        if t + 1 in at:
            w, v = (x.detach() * rate for x, rate in zip(params, by, strict=True))
            seen.append(p.gap(w, v))
        if t >= at[-1] - averaged:
            for m, x in zip(mean, params, strict=True):
                m += x.detach() / averaged
    w, v = (x * rate for x, rate in zip(mean, by, strict=True))
    return torch.stack([*seen, p.gap(w, v)])
