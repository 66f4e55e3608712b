"""Small networks on digits as modules: what claims of memory's tools train."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .turned_digits import TEST, part

FIRST = slice(0, 1000)
Params = Sequence[nn.Parameter]


def net(seed: int, *widths: int) -> nn.Sequential:
    """ReLU layers from 64 pixels to 10 answers, in float64."""
    torch.manual_seed(seed)
    return layered(*widths)


def layered(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise((64, *widths, 10)):
        layers += [nn.Linear(n, m, dtype=torch.float64), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def missed(model: nn.Module, degrees: float = 0.0, rows: slice = TEST) -> float:
    """The cross entropy on other digits."""
    x, labels = part(degrees, rows)
    with torch.no_grad():
        return float(F.cross_entropy(model(x), labels))


def fit(
    model: nn.Module, opt: Any, steps: int, seed: int, degrees: float = 0.0, rows: slice = FIRST, batch: int = 50,
    after: Callable[[int], None] = lambda t: None, more: Callable[[], Tensor] | None = None,
) -> nn.Module:  # fmt: skip
    """After steps on batches drawn at random, the rate falling as half a cosine; ``after`` each step something may be
    done, and ``more`` is added to the loss."""
    (x, labels), random = part(degrees, rows), torch.Generator().manual_seed(seed)
    rates = [group["lr"] for group in opt.param_groups]
    for t in range(steps):
        for group, rate in zip(opt.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * t / steps)) / 2
        drawn = torch.randint(len(x), (batch,), generator=random)
        opt.zero_grad()
        loss = F.cross_entropy(model(x[drawn]), labels[drawn])
        (loss if more is None else loss + more()).backward()
        opt.step()
        after(t)
    return model


@lru_cache(32)
def learned(seed: int, *widths: int) -> dict[str, Tensor]:
    """What a network that has seen 1000 upright digits knows."""
    model = net(seed, *widths)
    fit(model, torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0), 300, seed)
    return {name: value.clone() for name, value in model.state_dict().items()}


def knowing(seed: int, *widths: int) -> nn.Sequential:
    model = net(seed, *widths)
    model.load_state_dict(learned(seed, *widths))
    return model
