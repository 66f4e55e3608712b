"""Equally spaced codes.

Reference: "Memory Efficient Optimizers with 4-bit States", Li, Chen and Zhu, 2023, https://arxiv.org/abs/2309.01507
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .words import largest_magnitude


@dataclass(frozen=True)
class Linear:
    """Eight bits, linear: q/127 of the scale, q = -127 .. 127; for squares (q + 1)/256, q = 0 .. 255.

    Squares have no code for zero: a root of them divides, and a zero where the moment is not one makes a huge step. So
    a zero beside larger numbers is read as 1/256 of the largest. Error: at most 1/254 of a block's largest magnitude,
    for squares 1/512 (1/256 near zero).
    """

    signed: bool

    def largest(self, quarters: Sequence[Tensor]) -> Tensor:
        return largest_magnitude(quarters)

    def value(self, code: Tensor) -> Tensor:
        # both ends exactly: 127 * (1/127) is 1 in float32 too
        return (
            (code - 127).to(torch.float32) * (1 / 127)
            if self.signed
            else above_zero(code.to(torch.float32), 256)
        )

    def nearest(self, x: Tensor, inverse: Tensor) -> Tensor:
        y = x * inverse
        code = (y * 127).round() + 127 if self.signed else nearest_above_zero(y, 256)
        return code.to(torch.int32)


def above_zero(q: Tensor, levels: int) -> Tensor:
    """(q + 1) / levels: the codes for squares, without zero."""
    return (q + 1) * (1 / levels)


def nearest_above_zero(y: Tensor, levels: int) -> Tensor:
    return (y * levels).round().clamp(min=1) - 1
