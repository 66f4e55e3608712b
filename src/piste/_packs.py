"""Small tensors packed into one: the same element rule, one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from ._leaf import Leaf
from ._pass import Pass
from ._program import Frame

if TYPE_CHECKING:
    from ._plan import Lane, Stage


def packed(
    stage: Stage, lane: Lane, us: list[Tensor], leaves: list[Leaf], given: Pass
) -> tuple[dict[str, Any], dict[str, Any], Tensor]:
    """One flat tensor of many: the same element rule, one call."""

    plain = all(leaf.plain for leaf in leaves)

    def cat(tensors: list[Tensor]) -> Tensor:
        if plain:
            return _flatten_dense_tensors(tensors)
        return torch.cat([leaf.flat(t) for leaf, t in zip(leaves, tensors, strict=True)])

    env: dict[str, Any] = {}
    for name in stage.inputs:
        one = given.input(name, leaves[0], lane)
        if isinstance(one, Tensor) and name != "loss":
            one = cat([one, *(given.input(name, leaf, lane) for leaf in leaves[1:])])
        env[name] = one
    names = [n for n, slot in stage.slots.items() if not slot.shared]
    slots: dict[str, Any] = {}
    for name in names:
        stored = [leaf.read(name) for leaf in leaves]
        slots[name] = None if stored[0] is None else cat(stored)
    return env, slots, cat([given.lift(leaf, u) for leaf, u in zip(leaves, us, strict=True)])


def unpack(stage: Stage, leaves: list[Leaf], frame: Frame, u: Tensor, shared: list[str]) -> None:
    sizes = [leaf.real(leaf.param).numel() for leaf in leaves]

    plain = all(leaf.plain for leaf in leaves)

    def write(whole: Tensor, targets: list[Tensor]) -> None:
        if plain:
            torch._foreach_copy_(targets, _unflatten_dense_tensors(whole, targets))
            return
        pieces = [leaf.unflat(p) for leaf, p in zip(leaves, whole.split(sizes), strict=True)]
        torch._foreach_copy_(targets, pieces)

    for name in frame.changed:
        if name not in shared:
            write(frame.slots[name], [leaf.stored(name) for leaf in leaves])
    if stage.last:
        write(u, [leaf.real(leaf.param.detach()) for leaf in leaves])
