"""State and step in the host's memory, for a model whose optimizer does not fit beside it on its card.

Every weight has a copy in (pinned) host memory, its *home*; slots lie beside it, and the arithmetic is done there. In a
step the gradients come down and the new weights go up: twice the weights' bytes over the bus, where fetching and
returning the state of AdamW would be four times as much again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ._chain import Chain
    from ._leaf import Leaf


@dataclass
class Home:
    """A weight's copy in the host's memory, and which version of the weight it is a copy of."""

    tensor: Tensor
    version: int

    @classmethod
    def of(cls, weight: Tensor) -> Home:
        host = torch.empty_like(weight.detach(), device="cpu", pin_memory=weight.is_cuda)
        return cls(host.copy_(weight.detach()), weight._version)


def refuse(name: str, chain: Chain, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Errors (ValueError): what cannot be done in the host's memory."""
    for part in chain.everything():
        if part.transform.room in ("oracle", "search"):
            raise ValueError(
                f"offload=True steps in the host's memory, and {part.transform.name} of {name} evaluates the loss on "
                "the device in the middle of a step: leave offload out"
            )
    for parameter, weight in weights:
        if hasattr(weight, "device_mesh"):
            raise ValueError(
                f"offload=True is for weights that are whole, and {parameter!r} is sharded: "
                "fully_shard(..., offload_policy=CPUOffloadPolicy()) does it for shards"
            )


def down(leaves: Sequence[Leaf], gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that were changed elsewhere, and these gradients, in the host's memory."""
    for leaf in leaves:
        if leaf.home is not None and leaf.home.version != leaf.shown._version:
            leaf.home.tensor.copy_(leaf.shown.detach())
            leaf.home.version = leaf.shown._version
    found = {name: g.to("cpu", non_blocking=True) for name, g in gradients.items()}
    if any(g.is_cuda for g in gradients.values()):
        torch.cuda.synchronize()
    return found


def up(leaves: Iterable[Leaf]) -> None:
    """Show the model its new weights."""
    for leaf in leaves:
        if leaf.home is not None:
            leaf.shown.detach().copy_(leaf.home.tensor, non_blocking=True)
            leaf.home.version = leaf.shown._version
