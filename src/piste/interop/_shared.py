"""What the callbacks share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from .._optimizer import Optimizer


def ours(optimizers: Iterable[Any]) -> Iterator[Optimizer]:
    """piste's among them, out of whatever wraps them."""
    for optimizer in optimizers:
        inner = optimizer
        while not isinstance(inner, Optimizer) and hasattr(inner, "optimizer"):
            inner = inner.optimizer
        if isinstance(inner, Optimizer):
            yield inner


@torch.no_grad()
def keep(optimizer: Optimizer, module: Any, view: str | None, batches: Iterable[Any] | None) -> None:
    """The averaged weights and statistics become the module's own."""
    with optimizer.averaged(module, view=view, batches=batches):
        kept = {n: t.detach().clone() for n, t in module.state_dict().items()}
    module.load_state_dict(kept)
