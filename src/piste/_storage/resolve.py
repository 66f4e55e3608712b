"""From what a user writes (``storage="8bit"``, ``storage={"exp_avg_sq": "int8"}``) to codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .._registry import unknown
from .._slots import Slot
from .casts import Cast, Float8
from .codec import FIXED, Codec, WeightCodec
from .dynamic import Dynamic
from .linear import Linear
from .nibbles import Eigenvectors, Nibbles, RealDiagonal
from .roots import FourthRoot, SignedRoot
from .symmetric import Symmetric
from .weights import ErrorBits, Kahan, Stochastic
from .words import Words

Storage = str | Mapping[str, str] | None

# name -> codec for a kind of slot
CODECS: dict[str, Callable[[str], Codec]] = {
    "fp32": lambda kind: Cast("fp32", torch.float32),
    "bf16": lambda kind: Cast("bf16", torch.bfloat16),
    "fp16": lambda kind: Cast("fp16", torch.float16),
    "fp8": lambda kind: Float8(positive=kind == "square"),
    "int8": lambda kind: Words("int8", FourthRoot() if kind == "square" else SignedRoot()),
    "int8_dynamic": lambda kind: Words("int8_dynamic", Dynamic(signed=kind != "square")),
    "int8_linear": lambda kind: Words("int8_linear", Linear(signed=kind != "square")),
    "int4": lambda kind: Nibbles(signed=kind != "square"),
    "symmetric": lambda kind: Symmetric(),
    "eigen4": lambda kind: Eigenvectors(),
    "root4": lambda kind: RealDiagonal(),
}
ONLY = {
    "symmetric": ("factor",),
    "eigen4": ("basis",),
    "root4": ("factor",),
}  # codecs that rely on what their kind of slot is
WEIGHTS: dict[str, WeightCodec] = {
    c.name: c for c in (Stochastic(), Kahan(), Kahan("bf16_kahan_fp32", torch.float32), ErrorBits())
}
PRESETS: dict[str, dict[str, str]] = {
    "8bit": {"moment": "int8", "square": "int8"},
    "4bit": {"moment": "int4", "square": "int4"},
    "bf16": {"moment": "bf16", "square": "bf16"},
}
KINDS = ("moment", "square", "weights", "factor", "basis")


def resolve(storage: Storage, name: str, slot: Slot) -> Codec | None:
    """The codec of a slot, or None: plain. A slot's own name (its last part will do) goes before its kind, and both
    before the code it was declared with."""
    table = _table(storage)
    key = next((k for k in (name, name.rpartition(".")[2], slot.kind) if k in table), None)
    if key is None:
        return CODECS[slot.code](slot.kind) if slot.code else None
    code = table[key]
    if code not in CODECS:
        raise ValueError(unknown("codec", code, CODECS))
    if slot.kind in FIXED or slot.axes == "":
        if key == slot.kind and slot.kind not in FIXED:
            return None  # asked for its kind, not for this scalar
        raise ValueError(f"slot {name!r} is {_what(slot)} and is kept exactly: it cannot be stored as {code!r}; "
                         f"take {key!r} out of storage=")  # fmt: skip
    if slot.kind not in ONLY.get(code, KINDS):
        fits = [c for c in CODECS if slot.kind in ONLY.get(c, KINDS)]
        raise ValueError(f"slot {name!r} is of kind {slot.kind!r}, and {code!r} stores {' and '.join(ONLY[code])} "
                         f"only: choose one of {', '.join(fits)}")  # fmt: skip
    return CODECS[code](slot.kind)


def weight_codec(storage: Storage) -> WeightCodec | None:
    """How the parameters themselves are kept (``storage={"param": ...}``), or None: as they are."""
    code = _table(storage).get("param")
    if code is not None and code not in WEIGHTS:
        raise ValueError(unknown("codec of weights", code, WEIGHTS))
    return None if code is None else WEIGHTS[code]


def check(storage: Storage, slots: Mapping[str, Slot]) -> None:
    """Refuse what names no slot of the chain, no kind and no codec, before anything is allocated."""
    names = {n for name in slots for n in (name, name.rpartition(".")[2])}
    for key in _table(storage):
        if key not in names and key not in (*KINDS, *FIXED, "param"):
            raise ValueError(unknown("slot in storage=", key, [*sorted(names), *KINDS, "param"]))
    for name, slot in slots.items():
        resolve(storage, name, slot)
    weight_codec(storage)


def _table(storage: Storage) -> Mapping[str, str]:
    if storage is None:
        return {}
    if isinstance(storage, str):
        if storage not in PRESETS:
            raise ValueError(unknown("storage", storage, PRESETS))
        return PRESETS[storage]
    wrong: list[Any] = [x for pair in storage.items() for x in pair if not isinstance(x, str)]
    if wrong:
        raise ValueError(f"storage= maps slot names or kinds to names of codecs, not {wrong[0]!r}")
    return storage


def _what(slot: Slot) -> str:
    return {"index": "an integer", "probe": "a diagnostic"}.get(slot.kind, "a scalar")
