"""Which rank owns what the matrix rules of a chain keep of a sharded parameter, and how that is shown to the outside.

A parameter cut along one mesh axis goes whole to its owner, which runs the rules that see matrices and keeps their
slots; on the other ranks these are in ``state`` under the same keys, empty. Where that cannot be (several cut axes,
rules that keep a copy of the weights or a number for the whole group) every rank gathers and keeps everything.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._coding import key
from ._leaf import Leaf, blocks
from ._state import slot_shapes
from ._transform import Chain

if TYPE_CHECKING:
    from ._optimizer import Optimizer


@dataclass
class Owners:
    """The owner's rank of every sharded parameter, by name: decided once, when it joins, so that its state never
    moves; and the work each rank has by then."""

    ranks: dict[str, int] = field(default_factory=dict)
    work: dict[Any, list[float]] = field(default_factory=dict)

    def copy(self) -> Owners:
        return Owners(dict(self.ranks), {road: list(work) for road, work in self.work.items()})

    def settle(self, chain: Chain, leaves: Sequence[Leaf]) -> None:
        """Tell every leaf its owner. New ones are dealt out, the dearest first, each to the rank with the least work:
        shapes alone decide, so that all ranks decide alike. Frozen ones are dealt out by themselves."""
        if not movable(chain):
            return
        matrices = matrix_rules(chain)
        sharded = [(leaf, o) for leaf in leaves if (o := sharding.owner(leaf.place)) is not None]
        new = [(price(matrices, leaf), leaf, o) for leaf, o in sharded if leaf.name not in self.ranks]
        for cost, leaf, o in sorted(new, key=lambda found: -found[0]):
            road = o.mesh.ndim, o.axis, len(o.ranks), leaf.given.requires_grad
            work = self.work.setdefault(road, [0.0] * len(o.ranks))
            self.ranks[leaf.name] = rank = work.index(min(work))
            work[rank] += cost
        for leaf, o in sharded:
            leaf.owner = o.at(self.ranks[leaf.name])
            shapes = slot_shapes(matrices, leaf).items()
            leaf.owned = {name: shape for name, (slot, shape, _) in shapes if slot.kind != "probe"}


def matrix_rules(chain: Chain) -> Chain:
    """The parts of a chain that see matrices."""
    return Chain(tuple(p for p in chain.parts if p.sheet))


def movable(chain: Chain) -> bool:
    """Whether its matrix rules can run at one rank: none keeps a copy of the weights or a number for the group."""
    parts = matrix_rules(chain).parts
    alone = not any(slot.shared or slot.kind == "weights" for part in parts for _, slot, _ in part.slots())
    return bool(parts) and alone and all(part.transform.view_fn is None for part in parts)


def price(matrices: Chain, leaf: Leaf) -> float:
    """Products with every matrix, mn min(m, n), and decompositions of the square factors that are kept, m³."""
    products = sum(shape.numel() * min(shape[-2:]) for shape in blocks(leaf))
    kept = [shape for slot, shape, _ in slot_shapes(matrices, leaf).values() if slot.axes in ("m m", "n n")]
    return float(products + sum(math.prod(shape) * shape[-1] for shape in kept))


# shown and filled ---------------------------------------------------------------------------------------------------


@contextmanager
def shown(optimizer: Optimizer) -> Iterator[None]:
    """Inside, ``optimizer.state`` has what lives at owners cut along its first axis among all ranks (scalars copied).
    All ranks take part."""
    held, leaves = optimizer.state, [leaf for leaves in optimizer.leaves() for leaf in leaves]
    slots = [
        (leaf, leaf.owner, k, shape) for leaf in leaves if leaf.owner for k, shape in _kept(leaf).items()
    ]
    state = {p: dict(values) for p, values in held.items()}
    owners = [owner.of(shape) for _, owner, _, shape in slots]
    tensors = [leaf.state[k] for leaf, _, k, _ in slots]
    for few in sharding.waves(owners, [t.dtype for t in tensors]):
        wholes = [tensors[i] if owners[i].here else None for i in few]
        parts = sharding.hand_out([owners[i] for i in few], wholes, tensors[few[0]])()
        for i, part in zip(few, parts, strict=True):
            leaf, owner, k, shape = slots[i]
            state[leaf.given][k] = sharding.show(owner, part, shape)
    optimizer.state = defaultdict(dict, state)
    try:
        yield
    finally:
        optimizer.state = held


def _kept(leaf: Leaf) -> dict[str, tuple[int, ...]]:
    """What of the state lives at the owner, under its keys, and its shape there."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in leaf.owned.items():
        coded = leaf.codings[name].parts if name in leaf.codings else {"": (shape, None)}
        found |= {key(name, suffix): part for suffix, (part, _) in coded.items()}
    return {k: shape for k, shape in found.items() if k in leaf.state}


def everywhere(leaf: Leaf, name: str) -> Tensor:
    """The value of a slot that lives at an owner, on every rank."""
    assert leaf.owner is not None
    shape = leaf.owned[name]
    dtype = leaf.dtype if name in leaf.codings else leaf.stored(name).dtype
    owner = leaf.owner.of(shape)
    value = leaf.read(name) if owner.here else None
    (part,) = sharding.hand_out([owner], [value], torch.empty(0, dtype=dtype, device=leaf.param.device))()
    return sharding.everywhere(sharding.show(leaf.owner, part, shape))
