"""Noise with heavy tails, and clipping."""

from __future__ import annotations

from typing import Any

import torch

from ..._transform import chain
from ...transforms.clipping import clip_by_value
from ...transforms.decay import descend
from ..claim import at_least, claim, equal
from ..methods import of_chain
from .wrong import scaled

CLIPPING = "Revisiting Gradient Clipping: Stochastic bias and tight convergence guarantees"
clipped = of_chain(lambda lr: chain(clip_by_value(1.0), descend(lr)))


@claim(
    "clip_by_value",
    CLIPPING,
    kind="theorem",
    predicts=at_least(0.2),
    tolerance=0.0,
    wrong=scaled("SGD", 1.0),
    subject=clipped,
    in_mean=True,
    seeds=3,
)
def clippings_bias_stays_as_the_rate_vanishes(method: Any, seed: int) -> float:
    """Under noise that is not symmetric clipped SGD stays at a distance from the minimum that no smaller rate removes.

    |x̄| over the last 500 of 1,500 steps of the rate 0.01 and 64 runs; f = x²/2, noise is +3 once in four times and -1
    else, the threshold 1.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.nn.Parameter(torch.zeros(64, dtype=torch.float64))
    opt, total = method([x], lr=0.01), 0.0
    for t in range(1500):
        x.grad = x.detach() + torch.where(torch.rand(64, generator=random) < 0.25, 3.0, -1.0)
        opt.step()
        total += float(x.detach().mean()) if t >= 1000 else 0.0
    return abs(total / 500)


def clipped_at(params: Any, lr: float, most: float) -> Any:
    return of_chain(lambda lr: chain(clip_by_value(most), descend(lr)))(params, lr=lr)


@claim(
    "clip_by_value",
    CLIPPING,
    kind="theorem",
    predicts=equal(4.0),
    tolerance=0.6,
    wrong=lambda params, lr, most: clipped_at(params, lr, 1.0),
    subject=clipped_at,
    in_mean=True,
    seeds=4,
)
def clippings_bias_falls_inversely_to_the_threshold(method: Any, seed: int) -> float:
    """The gradient at which clipped SGD stays is of the order of σ²/c, in the worst case, once the threshold c exceeds
    the noise's deviation σ.

    The distance from the minimum over the last 300 of 400 steps of the rate 0.02 and 512 runs for c = 1, relative to
    c = 4; f = x²/2 and noise of variance 1 that is 2c once in 4c² + 1 times and -1/2c else, where it is 1/4c.
    """
    random = torch.Generator().manual_seed(seed)
    floors = []
    for c in (1.0, 4.0):
        x = torch.nn.Parameter(torch.full((512,), 0.25 / c, dtype=torch.float64))
        opt, total = method([x], lr=0.02, most=c), 0.0
        for t in range(400):
            rare = torch.rand(512, generator=random, dtype=torch.float64) < 1 / (4 * c * c + 1)
            x.grad = x.detach() + torch.where(rare, 2 * c, -0.5 / c)
            opt.step()
            total += float(x.detach().mean()) if t >= 100 else 0.0
        floors.append(abs(total / 300))
    return floors[0] / floors[1]
