"""The dynamic tree code: a few codes for each power of ten, more the nearer to the largest magnitude of a block.

With D decades, decade i = 0 .. D-1 is cut into n = 2^i equal cells (2^(i+1) without signs) and each cell stands for
its middle:

    value(i, j) = 10^(i-D+1) (0.1 + 0.9 (j + 1/2) / n),   j = 0 .. n-1;    besides 0 and 1

Numbered from zero upwards, cell j of decade i is t = n + j. So value(t) is piecewise linear, with slopes that grow at
t = n - 1/2, where the edges of decades lie: a sum of ramps, with neither a table nor a branch. The other way round,
three halvings find the decade; the cell follows linearly.

Reference: "8-bit Optimizers via Block-wise Quantization", Dettmers, Lewis, Shleifer and Zettlemoyer, 2021,
https://arxiv.org/abs/2110.02861
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .words import extreme


def _bits(x: float) -> int:
    """The bits of a float32 above zero."""
    return struct.unpack("<i", struct.pack("<f", x))[0]


_ONE = _bits(1.0)
_EDGE = 0.9999  # just below the edge: a number rounded onto it must not count as the lower decade's cell n


def magnitude(t: Tensor, decades: int, signed: bool) -> Tensor:
    """The value of cell ``t`` (whole numbers as floats, 0 and the first cell's predecessor for zero)."""
    first = 1.0 if signed else 2.0
    total, slope = None, 0.0
    for i in range(decades):
        n = first * 2**i
        unit = 10.0 ** (i - decades + 1)
        steeper = 0.9 * unit / n - slope
        knot = n - 0.5 if i else n * 8 / 9 - 0.5  # the first line starts from zero
        ramp = torch.relu(t - knot) * steeper
        total = ramp if total is None else total + ramp
        slope += steeper
    assert total is not None
    return _at_most(total, 1.0)


def cell(a: Tensor, decades: int, signed: bool) -> Tensor:
    """A number whose whole part is the cell nearest to ``a`` in [0, 1], the last one (for 1) aside.

    Comparisons by the sign bit of a difference, choices by masks: a compiler's own take twice the instructions.
    """
    y, power = a, torch.zeros_like(a, dtype=torch.int32)
    for k in (4, 2, 1) if decades > 4 else (2, 1):
        below = (y - _EDGE * 10.0**-k).view(torch.int32) >> 31  # all bits or none
        y = y * (_ONE + (below & (_bits(10.0**k) - _ONE))).view(torch.float32)
        power = power + (below & (k << 23))
    most = (1.0 if signed else 2.0) * 2 ** (decades - 1)
    n = (_bits(most) - power).view(torch.float32)  # divided by 2^k at every turn
    z = n * (y * (1 / 0.9) + 8 / 9)
    # cells of a decade are five times as wide as those below, so the middle between the two kinds is at 1/5 of the
    # first one: from there to its end the result goes from n to n + 1
    return z - 0.25 * torch.relu(n + 1 - z)


def _at_most(a: Tensor, b: Tensor | float) -> Tensor:
    """min(a, b), by the one instruction that compilers make of relu: comparisons take four. Exact where a <= b."""
    return a - torch.relu(a - b)


def _signed_like(size: Tensor, x: Tensor) -> Tensor:
    """copysign for sizes that have no sign, by bits: the compiler's own calls a function for each vector."""
    return (size.view(torch.int32) | (x.view(torch.int32) & -(2**31))).view(torch.float32)


def _top(g: Tensor, y: Tensor, last: float) -> Tensor:
    """The last code, for 1, from the middle between 1 and the cell before."""
    return _at_most(g + torch.relu(y - (1 - 0.45 / last)) * 1e6, last)


@dataclass(frozen=True)
class Dynamic:
    """The dynamic code of eight bits (D = 7), in the order of its table.

    Signed, code 127 is 0 and 255 is 1; -1 is not in the table, so that the scale takes the sign of the entry of
    largest magnitude, which is kept exactly. Without a sign, code 0 is 0 and 255 is 1, and what is above zero is not
    stored as zero, for a root of it divides. The code is the nearest one (to 5e-9 of the scale next to zero), so the
    error is half the gap between two codes: at most 0.0071 (signed) or 0.0036 of the scale. -0 becomes 0.
    """

    signed: bool

    def largest(self, quarters: Sequence[Tensor]) -> Tensor:
        high = extreme(quarters, torch.maximum).amax(-1, keepdim=True)
        return (
            signed_largest(high, extreme(quarters, torch.minimum).amin(-1, keepdim=True))
            if self.signed
            else high
        )

    def value(self, code: Tensor) -> Tensor:
        return signed_value(code, 7) if self.signed else magnitude(code.to(torch.float32) + 1, 7, False)

    def nearest(self, x: Tensor, inverse: Tensor) -> Tensor:
        y = x * inverse
        return (signed_cell(y, 7) if self.signed else _positive_cell(y)).to(torch.int32)


def signed_value(code: Tensor, decades: int) -> Tensor:
    """Values of the signed table, by index from -(cell 2^D - 1) to 1."""
    c = code.to(torch.float32) - (2**decades - 1)
    return _signed_like(magnitude(c.abs(), decades, True), c)


def signed_largest(high: Tensor, low: Tensor) -> Tensor:
    """The entry of largest magnitude, from the largest and the smallest."""
    return torch.where(high < -low, low, high)


def signed_cell(y: Tensor, decades: int) -> Tensor:
    """The index in the signed table nearest to ``y`` in [-1, 1], as a whole float."""
    last = 2.0**decades
    g = _top(cell(y.abs(), decades, True), y, last)
    return torch.relu(last - 1 + _signed_like(g.floor(), y))


def _positive_cell(a: Tensor) -> Tensor:
    code = 1 + torch.relu(_top(cell(a, 7, False), a, 256.0) - 2)
    return torch.relu(_at_most(code, a * 1e38))  # 0 for zero only
