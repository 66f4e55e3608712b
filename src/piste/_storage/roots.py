"""Codes that are evenly spaced in a root of what they stand for: fine near zero, and cheap to take.

    signed:   x = s y |y|,  y = q / 127,        q = -127 .. 127        (s: the largest magnitude of the block)
    squares:  x = s y⁴,     y = (q + 1) / 256,  q = 0 .. 255

A root of a square divides, so squares have no code for zero. That moments want codes spaced by a root, and the
cheapness of it, are the observations of "FlashOptim: Optimizers for Memory Efficient Training", Gonzalez Ortiz, Gupta,
Renard and Blalock, 2026, https://arxiv.org/abs/2602.23349, whose curves are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .words import extreme, largest_magnitude


@dataclass(frozen=True)
class SignedRoot:
    """Error: half a step of the root, √|x/s| / 127 of the scale, so 0.8 % of the largest entry, 2.5 % of one ten times
    smaller, 8 % of one a hundred times smaller; what is below 1.6e-5 of it becomes 0. The largest is exact."""

    def largest(self, quarters: Sequence[Tensor]) -> Tensor:
        return largest_magnitude(quarters)

    def value(self, code: Tensor) -> Tensor:
        y = (code - 127).to(torch.float32) * (1 / 127)  # 127 * (1/127) is 1 in float32 too
        return y * y.abs()

    def nearest(self, x: Tensor, inverse: Tensor) -> Tensor:
        root = (x.abs() * inverse).sqrt()
        return (torch.where(x < 0, -root, root) * 127 + 127.5).to(torch.int32)


@dataclass(frozen=True)
class FourthRoot:
    """Error: half a step of the root, 2 (x/s)^(3/4) / 256 of the scale, so 0.8 % of the largest entry, 1.4 % of one ten
    times smaller, 4.4 % of 1e-3, 14 % of 1e-5; the smallest code is 2.3e-10 of it. The largest is exact."""

    def largest(self, quarters: Sequence[Tensor]) -> Tensor:
        return extreme(quarters, torch.maximum).amax(-1, keepdim=True)

    def value(self, code: Tensor) -> Tensor:
        y = (code + 1).to(torch.float32) * (1 / 256)
        y = y * y
        return y * y

    def nearest(self, x: Tensor, inverse: Tensor) -> Tensor:
        # the root of x first: a rule that divides by it has taken it already, and compilers see that
        return torch.relu((x.sqrt() * inverse.sqrt()).sqrt() * 256 - 0.5).to(torch.int32)
