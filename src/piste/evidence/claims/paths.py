"""Runs of a method on several tensors whose gradients are written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Slopes = Callable[[list[Tensor]], Iterable[Tensor]]


def follow(
    method: Any, start: Sequence[Tensor], slopes: Slopes, steps: int,
    look: Callable[[int, list[Tensor]], Any] | None = None, **hyper: Any,
) -> list[Tensor]:  # fmt: skip
    """Where a method ends after so many steps. ``slopes(parts)`` gives the gradient of every part; ``look(t, parts)``
    sees them before step t = 0, 1, … and after the last, and ends the run where it answers True."""
    params = [torch.nn.Parameter(part.clone()) for part in start]
    opt, here = method(params, **hyper), [p.detach() for p in params]
    for t in range(steps):
        if look is not None and look(t, here) is True:
            return here
        for p, slope in zip(params, slopes(here), strict=True):
            p.grad = slope
        opt.step()
    if look is not None:
        look(steps, here)
    return here


def normal(seed: int, *shape: int) -> Tensor:
    """Gaussian numbers that depend on the seed alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a.norm() * b.norm()))


def widest_margin(rows: Tensor) -> Tensor:
    """The w of least Euclidean norm with ⟨row, w⟩ ≥ 1 for every row, as least squares with weights that are not
    negative."""
    import numpy as np
    from scipy.optimize import nnls

    lifted = torch.cat([rows.mT, torch.ones(1, len(rows), dtype=torch.float64)]).numpy()
    goal = np.zeros(len(lifted))
    goal[-1] = 1.0
    rest = lifted @ nnls(lifted, goal)[0] - goal
    return torch.from_numpy(-rest[:-1] / rest[-1])
