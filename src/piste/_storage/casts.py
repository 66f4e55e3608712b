"""Storage in another floating dtype: fp32, bf16, fp16, and fp8 with a scale for each block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .codec import FIXED, Parts, Shape, blocks, scales, settled


@dataclass(frozen=True)
class Cast:
    """Round to nearest even in ``dtype``. Relative error 2^-8 (bf16), 2^-11 (fp16: only from 6e-5 to 65504)."""

    name: str
    dtype: torch.dtype

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        return None if kind in FIXED else {"": (shape, self.dtype)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        return parts[""].to(torch.float32)

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"": value.reshape(parts[""].shape).to(self.dtype)}


@dataclass(frozen=True)
class Float8:
    """e4m3 (torch.float8_e4m3fn: 4 bits of exponent, 3 of mantissa, no infinities) times a scale for each block.

    The largest magnitude of a block is stored as 256, a power of two rather than the format's largest number 448: it is
    then exact, and what is decoded encodes to itself. Relative error 2^-4 down to 2^-14 of the block's largest
    magnitude, absolute error 2^-18 of it below. ``positive`` (squares): what is above zero is not stored as zero, for
    a root of it divides. A block with an entry that is not finite decodes to NaN.
    """

    positive: bool
    name: str = "fp8"

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        found = scales(shape, kind, lead, 256)
        return found and {"": (shape, torch.float8_e4m3fn), "scale": (found[0], torch.float32)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        code, scale = parts[""], parts["scale"]
        return (blocks(code.to(torch.float32), scale) * scale.unsqueeze(-1)).view(code.shape)

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x = blocks(value, parts["scale"])
        scale, inverse = settled(x.abs().amax(-1, keepdim=True) / 256)
        y = x * inverse
        if self.positive:
            y = torch.where(x > 0, y.clamp(min=2.0**-9), y)
        code = y.to(torch.float8_e4m3fn).view(parts[""].shape)
        return {"": code, "scale": scale.squeeze(-1)}
