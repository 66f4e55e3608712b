"""Eight bits an entry, four entries in a word of 32 bits, one scale for each block.

A block of B entries is kept as B/4 words: byte b of word w holds entry b B/4 + w. So the quarters of a block lie one
behind the other in memory as they do in the words, and a kernel works on whole vectors of 32 bits: reading single bytes
into vectors costs a compiler more than the arithmetic (twice the time of an AdamW step, measured on AVX2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .codec import Parts, Shape, blocks, scales, settled

QUARTERS = 4


class Code(Protocol):
    """Numbers of a block, relative to its scale, as whole numbers from 0 to 255 (int32)."""

    def largest(self, quarters: Sequence[Tensor]) -> Tensor:
        """The scale [..., 1] of blocks that are given in quarters [..., B/4]."""
        ...

    def value(self, code: Tensor) -> Tensor:
        """What a code stands for, in [-1, 1]."""
        ...

    def nearest(self, x: Tensor, inverse: Tensor) -> Tensor:
        """The code of x times ``inverse``, which is 1/scale."""
        ...


@dataclass(frozen=True)
class Words:
    """A code of eight bits for each block of at most 256, whose length is a multiple of four.

    Blocks below 2^-100 become zeros, and a block with an entry that is not finite decodes to NaN.
    """

    name: str
    code: Code

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None:
        found = scales(shape, kind, lead, 256, multiple=QUARTERS)
        return found and {"": (shape, torch.uint8), "scale": (found[0], torch.float32)}

    def read(self, words: Tensor, scale: Tensor) -> list[Tensor]:
        """The quarters of blocks, from words [..., B/4] (int32) and scale [..., 1]."""
        scale, _ = settled(scale)
        return [self.code.value((words >> shift) & 255) * scale for shift in (0, 8, 16, 24)]

    def write(self, quarters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(words, scale) of blocks in quarters. The scale is the largest entry as it comes, and counts as :meth:`read`
        says: anything made of it for keeps would be a loop of its own for the compiler, and the caches lost."""
        scale = self.code.largest(quarters)
        _, inverse = settled(scale)
        a, b, c, d = (self.code.nearest(x, inverse) for x in quarters)
        return a | (b << 8) | (c << 16) | (d << 24), scale

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        code, scale = parts[""], parts["scale"]
        words = blocks(code, scale).contiguous().view(torch.int32)
        return torch.cat(self.read(words, scale.unsqueeze(-1)), -1).view(code.shape)

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x = blocks(value.to(torch.float32), parts["scale"])
        words, scale = self.write(x.chunk(QUARTERS, -1))
        scale, _ = settled(scale)
        return {"": words.contiguous().view(torch.uint8).view(parts[""].shape), "scale": scale.squeeze(-1)}


def largest_magnitude(quarters: Sequence[Tensor]) -> Tensor:
    return extreme([x.abs() for x in quarters], torch.maximum).amax(-1, keepdim=True)


def extreme(quarters: Sequence[Tensor], of: object) -> Tensor:
    """Entry by entry the largest (or smallest) of the quarters."""
    a, b, c, d = quarters
    return of(of(a, b), of(c, d))  # type: ignore[operator]
