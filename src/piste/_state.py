"""The slots of a parameter: which there are, in which shapes, dtypes and codes, and what they will take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._coding import coding, key
from ._leaf import RESIDUAL, Leaf, alike, blocks, leaf_dtype
from ._slots import extent
from ._storage import plain, weight_codec
from ._transform import Chain, Slot


def slot_shapes(chain: Chain, leaf: Leaf) -> dict[str, tuple[Slot, tuple[int, ...], Mapping[str, Any]]]:
    """Every slot the chain keeps of this parameter: name -> (slot, shape, hyperparameters)."""
    found: dict[str, tuple[Slot, tuple[int, ...], Mapping[str, Any]]] = {}
    whole = (*leaf.shape, 2) if leaf.param.is_complex() else tuple(leaf.shape)
    for part in chain.parts:
        sheet = part.sheet
        if sheet and leaf.param.is_complex():
            raise ValueError(f"parameter {leaf.name!r} is complex, and {part.transform.name} works on real matrices: "
                             "give it to an element-scope optimizer such as AdamW")  # fmt: skip
        shapes = blocks(leaf) if sheet else [torch.Size((1, max(1, leaf.shape.numel())))]
        for name, slot, hyper in part.slots():
            for i, shape in enumerate(shapes):
                m, n = shape[-2], shape[-1]
                if slot.when is not None and not slot.when(m, n, hyper):
                    continue
                if "m n" in slot.axes:
                    extra = [
                        leaf.everyone if a == "all" else _length(a, slot, m, n, hyper)
                        for a in slot.axes.split()
                        if a not in ("m", "n")
                    ]
                    found[name] = slot, (*extra, *whole), hyper
                    continue
                batch = shape[:-2] if sheet else ()
                own = {"m": (m, 1), "n": (1, n), "": ()}.get(slot.axes)
                if own is None:
                    own = tuple(_length(a, slot, m, n, hyper) for a in slot.axes.split())
                full = name if len(shapes) == 1 else f"{name}.{i}"
                found[full] = slot, (() if slot.shared else (*batch, *own)), hyper
    for suffix, (shape, dtype) in leaf.weight.parts(whole).items() if leaf.weight is not None else ():
        if suffix:
            found[RESIDUAL + suffix] = Slot("residual", dtype=dtype), shape, {}
    return found


def _length(axis: str, slot: Slot, m: int, n: int, hyper: Mapping[str, Any]) -> int:
    measured = slot.length is not None and axis not in ("m", "n") and axis not in hyper
    return slot.length(m, n, hyper) if measured else extent(axis, m, n, hyper)  # type: ignore[misc]


def make_slot(
    slot: Slot, shape: tuple[int, ...], hyper: Mapping[str, Any], leaf: Leaf, owned: bool = False
) -> Tensor:
    """A new slot in the parameter's layout and placement; `weights` are filled at the parameter's own first step.

    What has the parameter's shape is sharded like it, a factor is copied to every rank, a scalar is a plain tensor;
    what is ``owned`` is whole here.
    """
    like = leaf.real(leaf.param.detach())
    leading = shape[: len(shape) - len(leaf.shape)] if "m n" in slot.axes else ()
    if owned:
        made = plain.allocate(slot, shape, like)
    elif slot.axes == "m n" and leaf.dense:
        made = torch.zeros_like(like, dtype=plain.dtype(slot, leaf_dtype(leaf)))
    elif "m n" in slot.axes and leaf.place is not None:
        made = plain.allocate(slot, (*leading, *like.shape), like)
    else:
        made = plain.allocate(slot, shape, like)
    fill, eye = (hyper[x] if isinstance(x, str) else x for x in (slot.fill, slot.eye))
    if fill:
        made.fill_(fill)
    if eye:
        made.diagonal(dim1=-2, dim2=-1).add_(eye)
    if leaf.place is None or slot.axes == "" or owned:
        return made
    return (
        sharding.wrap(made, leaf.place, len(leading))
        if "m n" in slot.axes
        else sharding.copies(made, leaf.place)
    )


def entries(
    name: str, slot: Slot, shape: tuple[int, ...], hyper: Mapping[str, Any], leaf: Leaf
) -> dict[str, Tensor]:
    """A new slot as the state keeps it: one tensor, or the parts of its codec (empty where another rank owns it)."""
    if leaf.lives(name):
        made = make_slot(slot, shape, hyper, leaf, owned=name in leaf.owned)
    else:
        made = plain.allocate(slot, (0,), leaf.real(leaf.param.detach()))
    if name not in leaf.codings:
        return {name: made}
    parts = leaf.codings[name].allocate(leaf, sharding.local(made))
    return {key(name, suffix): part for suffix, part in parts.items()}


def code(leaf: Leaf, chain: Chain, storage: Any) -> None:
    """Decide which of the leaf's slots are coded, and whether its weight is."""
    if storage is None and not any(slot.code for _, slot, _ in chain.slots()):
        return
    if leaf.param.dtype == torch.bfloat16:
        leaf.weight = weight_codec(storage)
        leaf.kind = alike(*leaf.kind[:3], leaf.weight is not None)
    for name, (slot, shape, _) in slot_shapes(chain, leaf).items():
        found = coding(storage, name, slot, shape, leaf)
        if found is not None:
            leaf.codings[name] = found
            leaf.kind = alike(*leaf.kind[:3], True)


def slot_bytes(chain: Chain, leaf: Leaf) -> dict[str, int]:
    """Bytes of each slot that the chain will keep here of this parameter alone, before anything is allocated."""
    found: dict[str, int] = {}
    for name, (slot, shape, _) in slot_shapes(chain, leaf).items():
        if name in leaf.codings:
            here = leaf.codings[name].here(leaf).values()
            found[name] = sum(torch.Size(part).numel() * dtype.itemsize for part, dtype in here)
        elif not slot.shared and slot.kind != "probe":
            count = torch.Size(shape).numel()
            if name in leaf.owned:
                count = count if leaf.lives(name) else 0
            elif "m n" in slot.axes and leaf.place is not None:  # only the part that lives here
                count = count // max(1, leaf.shape.numel()) * leaf.numel
            found[name] = plain.bytes(slot, count, leaf_dtype(leaf))
    return found


def forecast(chain: Chain, leaf: Leaf) -> int:
    """Bytes of state the chain will keep of this parameter, before anything is allocated."""
    return sum(slot_bytes(chain, leaf).values())
