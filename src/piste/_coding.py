"""Which slots of a parameter are kept in fewer bits, and under which keys of its state.

A codec keeps a slot as one or more tensors (codes and scales): ``exp_avg`` and ``exp_avg.scale``. Every entry of a
state stays an ordinary tensor, so checkpoints of any kind can hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._slots import Slot
from ._storage import Codec, Parts, resolve

if TYPE_CHECKING:
    from ._leaf import Leaf


@dataclass(frozen=True)
class Coding:
    """A codec, the whole slot's shape, and what is kept of it: {suffix: (shape, dtype)}.

    ``owned``: kept at one rank. ``whole``: not cut as the parameter is, so that every rank has a copy otherwise.
    """

    codec: Codec
    shape: tuple[int, ...]
    parts: Parts
    owned: bool = field(default=False, compare=False)
    leading: int = 0  # axes in front of the parameter's own: of a window
    whole: bool = False

    def cut(self, leaf: Leaf) -> bool:
        """Whether only some rows of it are here."""
        return not (self.owned or self.whole or leaf.place is None or not leaf.place.cut)

    def decode(self, kept: Mapping[str, Tensor], leaf: Leaf) -> Tensor:
        """The slot in the arithmetic's dtype, or the rows of it that live here."""
        shape = (*self.shape[: self.leading], *leaf.param.shape) if self.cut(leaf) else self.shape
        return self.codec.decode(kept).view(shape).to(leaf.dtype)

    def here(self, leaf: Leaf) -> Parts:
        """What is kept of the part that lives here: whole rows, so that no block is cut."""
        if self.owned and not (leaf.owner is not None and leaf.owner.here):
            return {suffix: ((0,), dtype) for suffix, (_, dtype) in self.parts.items()}
        if not self.cut(leaf):
            return self.parts
        rows, k = leaf.param.shape[0], self.leading
        return {s: ((*shape[:k], rows, *shape[k + 1 :]), dtype) for s, (shape, dtype) in self.parts.items()}

    def allocate(self, leaf: Leaf, value: Tensor) -> dict[str, Tensor]:
        """New parts that hold ``value`` (of the part that lives here), sharded as the parameter is."""
        empty = {
            suffix: torch.zeros(shape, dtype=dtype, device=leaf.param.device)
            for suffix, (shape, dtype) in self.here(leaf).items()
        }
        made = self.codec.encode(value.to(torch.float32), empty) if value.numel() or not self.owned else empty
        where = None if self.owned else leaf.place
        if self.whole:
            return {suffix: sharding.copies(part, where) for suffix, part in made.items()}
        return {
            suffix: sharding.wrap(part, where, self.leading, self.parts[suffix][0])
            for suffix, part in made.items()
        }

    def encode(self, value: Tensor, parts: Parts | None = None) -> dict[str, Tensor]:
        """New parts of these shapes (None: those of the whole slot) that hold ``value``."""
        empty = {
            suffix: torch.zeros(shape, dtype=dtype, device=value.device)
            for suffix, (shape, dtype) in (self.parts if parts is None else parts).items()
        }
        return empty if value.is_meta else self.codec.encode(value.to(torch.float32), empty)


def key(name: str, suffix: str) -> str:
    """Where a part is kept in the state."""
    return f"{name}.{suffix}" if suffix else name


def keys(name: str, coding: Coding | None) -> dict[str, str]:
    """Where a slot's parts are kept: {suffix: key}; a plain slot is one part."""
    return {suffix: key(name, suffix) for suffix in ([""] if coding is None else coding.parts)}


def coding(
    storage: Any, name: str, slot: Slot, shape: tuple[int, ...], leaf: Leaf, here: bool = True
) -> Coding | None:
    """How this slot of this parameter is coded; None: it is kept plain. Only tensors that are whole (here or at an
    owner) or cut by rows are coded ``here``, and only those laid out in the order of their axes; a saved one may come
    from elsewhere."""
    codec = resolve(storage, name, slot)
    if codec is None or slot.shared or slot.kind == "probe" or leaf.param.is_complex() or not leaf.plain:
        return None
    owned, whole = here and name in leaf.owned, "m n" not in slot.axes
    if here and not owned and not whole and leaf.place is not None and not leaf.place.by_rows:
        return None
    leading = 0 if whole else len(shape) - len(leaf.shape)
    parts = codec.parts(shape, slot.kind, 1 + leading)
    return None if parts is None else Coding(codec, shape, parts, owned, leading, whole)
