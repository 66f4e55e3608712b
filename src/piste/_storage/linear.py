"""Equally spaced codes.

Reference: "Memory Efficient Optimizers with 4-bit States", Li, Chen and Zhu, 2023, https://arxiv.org/abs/2309.01507
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .codec import Parts, Shape, blocks, scales, settled


@dataclass(frozen=True)
class Linear:
    """Eight bits, linear: q/127 of the scale, q = -127 .. 127; for squares (q + 1)/256, q = 0 .. 255.

    Squares have no code for zero: a root of them divides, and a zero where the moment is not one makes a huge step. So
    a zero beside larger numbers is read as 1/256 of the largest. Error: at most 1/254 of a block's largest magnitude,
    for squares 1/512 (1/256 near zero). A block with an entry that is not finite decodes to NaN.
    """

    signed: bool
    name: str = "int8_linear"

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        found = scales(shape, kind, lead, 256)
        dtype = torch.int8 if self.signed else torch.uint8
        return found and {"": (shape, dtype), "scale": (found[0], torch.float32)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        code, scale = parts[""], parts["scale"]
        q = code.to(torch.float32)
        y = q * (1 / 127) if self.signed else above_zero(q, 256)
        # both ends exactly: 127 * (1/127) is 1 in float32 too
        return (blocks(y, scale) * scale.unsqueeze(-1)).view(code.shape)

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x = blocks(value, parts["scale"])
        scale, inverse = settled(x.abs().amax(-1, keepdim=True))
        q = (x * inverse * 127).round() if self.signed else nearest_above_zero(x * inverse, 256)
        return {"": q.to(parts[""].dtype).view(parts[""].shape), "scale": scale.squeeze(-1)}


def above_zero(q: Tensor, levels: int) -> Tensor:
    """(q + 1) / levels: the codes for squares, without zero."""
    return (q + 1) * (1 / levels)


def nearest_above_zero(y: Tensor, levels: int) -> Tensor:
    return (y * levels).round().clamp(min=1) - 1
