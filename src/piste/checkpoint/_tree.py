"""Any tree of tensors and plain values as named tensors and JSON, and back: types, bits and sharing kept.

JSON has no tuples, no keys but text and no infinities; what it lacks is written as ``{"$": kind, ...}``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

CAN = "tensors, numpy arrays, numbers, text, None, and lists, tuples and dicts of them"


def pack(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(JSON, tensors by name). A tensor that stands in several places is kept once.

    Errors: TypeError names everything that cannot be written, and why.
    """
    packer = _Packer()
    data = {name: packer.pack(value, name) for name, value in tree.items()}
    if packer.problems:
        more = f" and {len(packer.problems) - 5} more" if len(packer.problems) > 5 else ""
        raise TypeError(
            f"a checkpoint holds {CAN}; nothing was written because of {'; '.join(packer.problems[:5])}{more}. "
            "Save a state_dict() of it, or leave it out"
        )
    return data, packer.tensors


def unpack(data: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that :func:`pack` was given."""
    if isinstance(data, list):
        return [unpack(x, tensors) for x in data]
    if not isinstance(data, dict):
        return data
    kind = data.get("$")
    if kind is None:
        return {k: unpack(v, tensors) for k, v in data.items()}
    if kind == "tensor":
        return tensors[data["key"]]
    if kind == "complex":
        return torch.view_as_complex(tensors[data["key"]])
    if kind == "numpy":
        return tensors[data["key"]].numpy()
    if kind == "float":
        return float(data["value"])
    items = [unpack(x, tensors) for x in data["items"]]
    return tuple(items) if kind == "tuple" else {"dict": dict, "Counter": Counter}[kind](dict(items))


class _Packer:
    """What has been found so far: the tensors, where each lies in memory, and what cannot be written."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.problems: list[str] = []
        self._known: dict[Any, str] = {}

    def pack(self, value: Any, where: str) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if isinstance(value, Tensor):
            return self._tensor(value, where)
        if type(value) is np.ndarray and value.dtype.kind in "buifc":
            whole = np.require(value, requirements=["C", "W"]).astype(
                value.dtype.newbyteorder("="), copy=False
            )
            return {**self._tensor(torch.from_numpy(whole), where), "$": "numpy"}
        if type(value) is list:
            return [self.pack(x, f"{where}.{i}") for i, x in enumerate(value)]
        if isinstance(value, tuple) and (type(value) is tuple or isinstance(value, torch.Size)):
            return {"$": "tuple", "items": [self.pack(x, f"{where}.{i}") for i, x in enumerate(value)]}
        if isinstance(value, Mapping):
            return self._mapping(value, where)
        return self._refuse(where, f"a {type(value).__name__}")

    def _mapping(self, value: Mapping[Any, Any], where: str) -> Any:
        if all(type(k) is str for k in value) and "$" not in value and not isinstance(value, Counter):
            return {k: self.pack(v, f"{where}.{k}") for k, v in value.items()}
        kind = "Counter" if isinstance(value, Counter) else "dict"
        items = [[self.pack(k, f"{where}, a key"), self.pack(v, f"{where}.{k}")] for k, v in value.items()]
        return {"$": kind, "items": items}

    def _tensor(self, value: Tensor, where: str) -> Any:
        if hasattr(value, "device_mesh"):
            return self._refuse(where, "a DTensor")
        if value.layout is not torch.strided or value.is_quantized or value.device.type == "meta":
            return self._refuse(where, f"a {value.layout} tensor on {value.device}")
        if type(value) not in (Tensor, torch.nn.Parameter):
            return self._refuse(where, f"a {type(value).__name__}")
        t = value.detach().resolve_conj().resolve_neg()
        kind = "complex" if t.is_complex() else "tensor"
        t = torch.view_as_real(t) if t.is_complex() else t
        if t.numel():
            place = (
                t.untyped_storage().data_ptr(),
                t.storage_offset(),
                t.shape,
                t.stride(),
                t.dtype,
                t.device,
            )
        else:
            place = object()  # nothing to share
        if place not in self._known:
            key = where
            while key in self.tensors:
                key += "'"  # {"a.b": x} beside {"a": {"b": y}}
            self._known[place], self.tensors[key] = key, t
        return {"$": kind, "key": self._known[place]}

    def _refuse(self, where: str, what: str) -> dict[str, Any]:
        self.problems.append(f"{where} ({what})")
        return {}
