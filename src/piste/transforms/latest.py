"""The mean of the last few checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import scalar, transform, weights
from ._numbers import minimum, where


@transform(room="delta", scope="tensor", latest=weights("k m n"), kept=scalar)
def latest_weights(
    u: Tensor, param: Tensor, step: Any, latest: Tensor, kept: Tensor, *, k: int = 6, every: int = 1
) -> Any:
    """The last k of the points p + δ at the steps every, 2 every, ... are kept; the view is their plain mean.

    ``every`` is an epoch's steps. Training is not changed. Until k are there the view is the mean of those that are,
    and until the first it is the weights themselves. Takes k copies of the weights (the authors use files).

    The paper's text: k checkpoints. (Its script averages one more than it is told.)

    Reference: "Stop Wasting My Time! Saving Days of ImageNet and BERT Training with Latest Weight Averaging", Jean
    Kaddour, 2022, https://arxiv.org/abs/2209.14981
    """
    meets = step % every == 0
    newer = torch.cat([latest[1:], (param + u).unsqueeze(0)])
    return u, where(meets, newer, latest), where(meets, minimum(kept + 1, k * 1.0), kept)


@latest_weights.view
def average_latest(param: Tensor, latest: Tensor, kept: Tensor, *, k: int) -> Tensor:
    """The mean of what is kept; the oldest rows are those that have not been filled."""
    there = torch.arange(k, device=param.device) >= k - kept
    mean = (latest * there.view(-1, *[1] * param.ndim)).sum(0) / kept.clamp(min=1)
    return torch.where(kept > 0, mean, param)
