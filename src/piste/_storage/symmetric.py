"""Symmetric matrices by their upper triangle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .codec import Parts, Shape, worthwhile


@dataclass(frozen=True)
class Symmetric:
    """Float32 [..., m, m] -> [..., m (m + 1) / 2], row by row. Exact; what is below the diagonal is not looked at."""

    name: str = "symmetric"

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        if not worthwhile(shape, kind) or shape[-1] != shape[-2]:
            return None
        m = shape[-1]
        return {"": ((*shape[:-2], m * (m + 1) // 2), torch.float32)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        packed = parts[""]
        m = (math.isqrt(8 * packed.shape[-1] + 1) - 1) // 2
        i = torch.arange(m, device=packed.device)
        low, high = torch.minimum(i[:, None], i), torch.maximum(i[:, None], i)
        return packed[..., low * m - low * (low + 1) // 2 + high]

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        m = value.shape[-1]
        rows, columns = torch.triu_indices(m, m, device=value.device)
        return {"": value[..., rows, columns].to(torch.float32)}
