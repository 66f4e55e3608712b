"""Averages of the path of plain SGD: exponential (EMA) and equal-weight (SWA).

Sources:
- Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992),
  https://doi.org/10.1137/0330046
- Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018),
  https://arxiv.org/abs/1803.05407

    EMA:  a ← β a + (1 - β) w            SWA:  a ← (n a + w) / (n + 1),  n ← n + 1

taken after the steps t = start, start + every, ... (t counts from 1). `first` says what the exponential
average starts from: "step" (default) the weights after the first averaged step, as
torch.optim.swa_utils.AveragedModel does; "init" the initial weights, a₀ = w₀; "zero" nothing, with the bias
divided out as in Adam: a / (1 - βⁿ). SWA proper averages once per cycle or epoch, after a warm-up: `start`
and `every`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def path(w: Tensor, grads: list[Tensor], lr: float) -> list[Tensor]:
    points = [w]
    for g in grads:
        points.append(points[-1] - lr * g)
    return points


def reference_ema(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    decay: float = 0.999,
    first: str = "step",
    start: int = 1,
    every: int = 1,
) -> list[Tensor]:
    averages = []
    for i, w in enumerate(params):
        points = path(w, [step[i] for step in grads], lr)
        a, n = (w if first == "init" else torch.zeros_like(w)), 0
        for point in points[start::every]:
            a = point if first == "step" and n == 0 else decay * a + (1 - decay) * point
            n += 1
        if n == 0:
            a = points[-1]
        elif first == "zero":
            a = a / (1 - decay**n)
        averages.append(a)
    return averages


def reference_swa(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.1, start: int = 1, every: int = 1
) -> list[Tensor]:
    averages = []
    for i, w in enumerate(params):
        points = path(w, [step[i] for step in grads], lr)
        chosen = points[start::every] or points[-1:]
        averages.append(sum(chosen[1:], chosen[0]) / len(chosen))
    return averages


def reference(params: list[Tensor], grads: list[list[Tensor]], lr: float = 0.1) -> list[Tensor]:
    """The weights themselves, which averaging must leave alone."""
    return [path(w, [step[i] for step in grads], lr)[-1] for i, w in enumerate(params)]
