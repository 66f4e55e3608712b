"""Where the parts of a tensor live. The only file that may name torch.distributed.

One process owns every tensor whole, so each of the four verbs the plan speaks is the identity here; a mesh changes
what they do, not who calls them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def local(tensor: Tensor) -> Tensor:
    """The part of the tensor that lives here: what `element` stages work on."""
    return tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor: what `tensor` stages work on."""
    return tensor


def put_back(result: Tensor, like: Tensor) -> Tensor:
    """A whole result in the placement of ``like``."""
    return result


def reduce(partials: Sequence[Tensor], how: str) -> Tensor:
    """One number from every tensor's part of a `tree` sum: "sum" or "max"."""
    total = partials[0]
    for part in partials[1:]:
        part = part.to(total.device)
        total = total.maximum(part) if how == "max" else total + part
    return total


def global_offset(tensor: Tensor) -> int:
    """Index, in the whole tensor, of the first element that lives here (noise is drawn by global index)."""
    return 0
