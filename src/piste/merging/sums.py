"""What some methods must know before they see a tensor: measured in passes over the files.

A measure is given ``walk``, which goes over all tensors that are merged, in pieces (call it once for each pass), and
the method's hyperparameters; it returns one number per model, or None where these hyperparameters ask for nothing. It
is taken over whole models; where a method has the hyperparameter ``over`` and that is "tensor", over each tensor alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Seen(NamedTuple):
    """One parameter of all models, or a piece of it, in the dtype of the arithmetic."""

    name: str
    tensors: Sequence[Tensor]
    base: Tensor | None
    statistics: Sequence[Tensor]


Walk = Callable[[], Iterator[Seen]]


def statistic_norms(walk: Walk, hyper: Mapping[str, Any]) -> list[float] | None:
    """‖F_i‖ over all tensors of model i; 1 where it is 0."""
    if not hyper["by_length"]:
        return None
    rows = [[float(f.double().square().sum()) for f in seen.statistics] for seen in walk()]
    return [math.sqrt(sum(column)) or 1.0 for column in zip(*rows, strict=True)]


def largest_moves(walk: Walk, hyper: Mapping[str, Any]) -> list[float]:
    """The magnitude that a share ``density`` of all entries of θ_i - θ₀ reaches, exactly."""

    def moves() -> Iterator[list[Tensor]]:
        for seen in walk():
            assert seen.base is not None
            yield [t - seen.base for t in seen.tensors]

    return kth_largest(moves, hyper["density"])


def kth_largest(rows: Callable[[], Iterator[Sequence[Tensor]]], share: float) -> list[float]:
    """Of each column of tensors the magnitude that a share of all its entries reaches, one entry at least. ``rows``
    yields them anew for each pass.

    Magnitudes of floats are ordered as their bits are: each pass counts the next sixteen bits of those entries that
    agree with the answer so far, so that no more than a row is ever held.
    """
    found: list[_Search] = []
    passed, bits = 0, 16
    while passed < bits:
        for row in rows():
            found = found or [_Search() for _ in row]
            bits = 64 if row[0].dtype == torch.float64 else 32
            for search, x in zip(found, row, strict=True):
                search.count(x, passed, bits)
        for search in found:
            search.narrow(share)
        passed += 16
    kind = (torch.int64, torch.float64) if bits == 64 else (torch.int32, torch.float32)
    return torch.tensor([s.answer for s in found], dtype=kind[0]).view(kind[1]).tolist()


class _Search:
    """The first bits of one answer, and how many entries of those that have them are to be passed over."""

    def __init__(self) -> None:
        self.answer, self.rank, self.size = 0, 0, 0
        self.counts = torch.zeros(1 << 16, dtype=torch.int64)

    def count(self, x: Tensor, passed: int, bits: int) -> None:
        word = x.abs().contiguous().view(torch.int64 if bits == 64 else torch.int32).flatten()
        self.size += 0 if passed else x.numel()
        if passed:
            word = word[word >> (bits - passed) == self.answer]
        self.counts += torch.bincount((word >> (bits - passed - 16)) & 0xFFFF, minlength=1 << 16)

    def narrow(self, share: float) -> None:
        self.rank = self.rank or max(int(share * self.size), 1)
        above = self.counts.flip(0).cumsum(0)
        place = int(torch.searchsorted(above, self.rank))
        self.rank -= int(above[place - 1]) if place else 0
        self.answer = self.answer << 16 | 0xFFFF - place
        self.counts.zero_()
