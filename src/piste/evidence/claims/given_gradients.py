"""Where methods go on gradients that are given, and what networks on digits come to at the rate that suits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..tuning import steps_to, tuned
from .digit_runs import NEW, loss, run


def path(method: Any, grads: Tensor, start: Tensor | None = None, **hyper: Any) -> Tensor:
    """The points of a run on these gradients, one in a row: before every step and after the last."""
    x = torch.nn.Parameter(torch.zeros_like(grads[0]) if start is None else start.clone())
    opt, points = method([x], **hyper), [x.detach().clone()]
    for g in grads:
        x.grad = g.clone()
        opt.step()
        points.append(x.detach().clone())
    return torch.stack(points)


def steps_of(method: Any, grads: Tensor, **hyper: Any) -> Tensor:
    """What it moves by at each of these gradients, in units of its rate."""
    return path(method, grads, **hyper).diff(dim=0) / hyper["lr"]


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def falling(steps: int) -> Callable[[int], float]:
    return lambda t: 1 - t / steps


def trained_loss(
    name: str, seed: int, rate: float, steps: int = 300, rows: slice = NEW, **hyper: Any
) -> float:
    """The loss on digits that were not trained on, after a run whose rate falls to 0."""
    (net,) = run(seed, falling(steps), rate, (steps,), optimizer=name, **hyper)
    return loss(net, rows)


# where the grids of rates begin
MIDDLE = {
    "Adam": 0.03,
    "AdamW": 0.03,
    "DiffGrad": 0.06,
    "AdaBelief": 0.12,
    "AdaMomentum": 0.01,
    "RAdam": 0.06,
}
MIDDLE |= {"Adan": 0.02, "AdEMAMix": 0.01, "Lion": 0.004}


def best_loss(name: str, seed: int, steps: int = 300, **hyper: Any) -> float:
    """`trained_loss` at the best of rates a factor of two apart."""
    middle = MIDDLE[name]
    rates = (middle / 2, middle, 2 * middle)
    return tuned(lambda rate: trained_loss(name, seed, rate, steps, **hyper), rates).score


def steps_until(
    name: str, seed: int, rate: float, target: float, at: Sequence[int], rows: slice, **hyper: Any
) -> float:
    """How many steps at a constant rate take the loss on these digits to the target."""
    nets = run(seed, lambda t: 1.0, rate, at, optimizer=name, **hyper)
    found = steps_to([loss(net, rows) for net in nets], target)
    return float(at[int(found)]) if found < len(at) else float("inf")
