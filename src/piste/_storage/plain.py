"""How a slot or a weight is stored: decode -> arithmetic -> encode. Transforms never see the stored form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._slots import Slot

_FIXED = {"scalar": torch.float64, "index": torch.int64}


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Arithmetic is done in at least fp32, and in float64 for float64 weights."""
    return torch.promote_types(dtype, torch.float32)


@dataclass(frozen=True)
class Plain:
    """Kept as it is: scalars in float64, indices in int64, the rest in the arithmetic's dtype of the weight."""

    def dtype(self, slot: Slot, weight: torch.dtype) -> torch.dtype:
        if slot.dtype is not None:
            return slot.dtype
        return _FIXED.get(slot.kind) or compute_dtype(weight)

    def bytes(self, slot: Slot, numel: int, weight: torch.dtype) -> int:
        return numel * self.dtype(slot, weight).itemsize

    def allocate(self, slot: Slot, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.zeros(shape, dtype=self.dtype(slot, like.dtype), device=like.device)

    def decode(self, stored: Tensor) -> Tensor:
        return stored

    def encode(self, value: Tensor, stored: Tensor) -> None:
        stored.copy_(value)


plain = Plain()
