"""The slope that is the middle one of several samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _sharding as sharding
from .._transform import oracle


@oracle
def sample_median(evaluate: Any, params: Sequence[Tensor], *, samples: int = 5) -> Any:
    """Of every coordinate the median of the gradients of ``samples`` runs of the closure, which is to draw another
    batch at each; of an even number the mean of the two in the middle. The loss reported is the mean of theirs.

    It keeps all those gradients for the length of the step.

    Reference: "SGD with Clipping is Secretly Estimating the Median Gradient", Fabian Schaipp, Guillaume Garrigos,
    Umut Simsekli, Robert Gower, 2024, https://arxiv.org/abs/2402.12828
    """
    losses, runs = zip(*(evaluate() for _ in range(samples)), strict=True)
    return torch.stack(losses).mean(), [_middle(p, of_one) for p, *of_one in zip(params, *runs, strict=True)]


def _middle(p: Tensor, grads: Sequence[Tensor | None]) -> Tensor | None:
    where = sharding.place(p)
    found = [sharding.aligned(g, where) for g in grads if g is not None]
    if not found:
        return None
    several = torch.stack(found).sort(dim=0).values
    half = len(found) // 2
    middle = several[half] if len(found) % 2 else (several[half - 1] + several[half]) / 2
    return sharding.wrap(middle, where)
