"""Four bits: two codes in a byte.

References: "Memory Efficient Optimizers with 4-bit States", Li, Chen and Zhu, 2023, https://arxiv.org/abs/2309.01507;
"4-bit Shampoo for Memory-Efficient Network Training", Wang, Zhou, Li, Liu and Huang, 2024,
https://arxiv.org/abs/2405.18144
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from .codec import NARROWEST, Parts, Shape, blocks, scales, settled, worthwhile
from .dynamic import signed_cell, signed_largest, signed_value
from .linear import above_zero, nearest_above_zero

_SQUARES = 64  # entries that share a scale in the codes of square matrices


def pack(code: Tensor) -> Tensor:
    """[..., B] codes below 16 -> [..., B/2] bytes: entry j in the low half of byte j, entry j + B/2 in the high one."""
    low, high = code.to(torch.uint8).unflatten(-1, (2, -1)).unbind(-2)
    return low | (high << 4)


def unpack(code: Tensor) -> Tensor:
    return torch.cat([code & 15, code >> 4], -1)


def packed(scale: Shape, block: int) -> Parts:
    """Two codes a byte beside one scale for each `block` of them."""
    return {"": ((*scale[:-1], scale[-1] * block // 2), torch.uint8), "scale": (scale, torch.float32)}


@dataclass(frozen=True)
class Nibbles:
    """Four bits for each block of at most 128: signed the dynamic code (D = 3), squares (q + 1)/16 of the scale.

    Squares have no code for zero (see :class:`Linear`). Error of a block's largest magnitude: at most 0.1125,
    squares 1/32 (1/16 near zero). The entry of largest magnitude is exact.
    The main part is [*rows, r/2]. A block with an entry that is not finite decodes to NaN.
    """

    signed: bool
    name: str = "int4"

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        found = scales(shape, kind, lead, 128, multiple=2)
        if found is None:
            return None
        return packed(*found)

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        scale = parts["scale"]
        code = unpack(blocks(parts[""], scale))
        y = signed_value(code, 3) if self.signed else above_zero(code.to(torch.float32), 16)
        return (y * scale.unsqueeze(-1)).flatten(-2)

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x = blocks(value, parts["scale"])
        high, low = x.amax(-1, keepdim=True), x.amin(-1, keepdim=True)
        scale, inverse = settled(signed_largest(high, low) if self.signed else high)
        y = x * inverse
        code = signed_cell(y, 3) if self.signed else nearest_above_zero(y, 16)
        return {"": pack(code).view(parts[""].shape), "scale": scale.squeeze(-1)}


@dataclass(frozen=True)
class Eigenvectors:
    """Orthogonal matrices [..., m, m] in four bits, made orthogonal again when read.

    Blocks of 64 of the m^2 entries, row by row, the last one filled up with zeros; y = x / (largest magnitude) is
    stored as the nearest of 0 and sign(q) (q/15)^2, q = 1, 3, .. 15 and -3, -5, .. -15. ``steps`` times Björck's
    V <- V (3 I - V^T V) / 2 takes E = I - V^T V to (3 E^2 + E^3) / 4.
    """

    name: str = "eigen4"
    steps: int = 2

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        if not worthwhile(shape, kind) or shape[-1] != shape[-2] or shape[-1] < NARROWEST:
            return None
        return packed((*shape[:-2], math.ceil(shape[-1] ** 2 / _SQUARES)), _SQUARES)

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        v = self.rough(parts)
        for _ in range(self.steps):
            v = 1.5 * v - 0.5 * (v @ (v.mT @ v))
        return v

    def rough(self, parts: Mapping[str, Tensor]) -> Tensor:
        """What is stored, as it is."""
        return from_squares(parts)

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return to_squares(value, parts)


@dataclass(frozen=True)
class RealDiagonal:
    """Square matrices in the code of :class:`Eigenvectors` beside their diagonal, which stays in float32.

    For the inverse roots of statistics, whose diagonal is what matters most.
    """

    name: str = "root4"

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        found = Eigenvectors().parts(shape, kind, lead)
        return found and {**found, "diagonal": (shape[:-1], torch.float32)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        diagonal = parts["diagonal"]
        return torch.diagonal_scatter(from_squares(parts), diagonal, dim1=-2, dim2=-1)

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        kept = parts["diagonal"]
        value = value.reshape(*kept.shape, kept.shape[-1])
        diagonal = value.diagonal(dim1=-2, dim2=-1)
        rest = torch.diagonal_scatter(value, torch.zeros_like(diagonal), dim1=-2, dim2=-1)
        return {**to_squares(rest, parts), "diagonal": diagonal.clone()}


def from_squares(parts: Mapping[str, Tensor]) -> Tensor:
    """Codes q = -15, -13, .. 15 as sign(q) (q/15)^2 of the block's scale, but -1 as 0."""
    scale = parts["scale"]
    q = 2 * unpack(blocks(parts[""], scale)).to(torch.float32) - 15
    y = torch.where(q == -1, 0.0, q * q.abs() * (1 / 225))
    x = (y * scale.unsqueeze(-1)).flatten(-2)
    m = math.isqrt(x.shape[-1])  # what is filled up is less than a block, and the next square is further away
    return x[..., : m * m].unflatten(-1, (m, m))


def to_squares(value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    kept = parts["scale"]
    x = value.reshape(*kept.shape[:-1], -1)
    x = blocks(pad(x, (0, kept.shape[-1] * _SQUARES - x.shape[-1])), kept)
    scale, inverse = settled(x.abs().amax(-1, keepdim=True))
    y = x * inverse
    a = 225 * y.abs()
    # the middle between (2p - 1)^2 and (2p + 1)^2 is 4 p^2 + 1
    p = ((a - 1).clamp(min=0).sqrt() * 0.5).floor().clamp(max=7) + 1
    code = torch.where(y > 0, 7 + p, 8 - p.clamp(min=2))
    code = torch.where(a < torch.where(y > 0, 0.5, 4.5), 7, code)
    return {"": pack(code).view(parts[""].shape), "scale": scale.squeeze(-1)}
