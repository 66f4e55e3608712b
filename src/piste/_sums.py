"""Declared sums over a tensor and over the tree, added up from the parts that live here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._leaf import Leaf
from ._program import Frame, element
from ._slots import Sum

if TYPE_CHECKING:
    from ._plan import Stage


def add_up(head: Stage, u: Tensor, frame: Frame, numbers: Sequence[Any], width: int = 0) -> list[Tensor]:
    """Of a part of a tensor: the element function of each of a head's sums, added up (or its largest value). Of rows
    (as a kernel sees them) pieces of ``width`` are put together first."""
    if head.asker is None:
        return []
    values = [element(rule, u, head.asker, frame, numbers) for rule in head.rules]
    return [reduced(rule, value, width) for rule, value in zip(head.rules, values, strict=True)]


def reduced(rule: Sum, value: Tensor, width: int) -> Tensor:
    """One number of what is here of a tensor; see :func:`add_up`."""
    pieces = value.unflatten(-1, (-1, width)) if width and value.dim() == 2 else None
    if rule.how != "max":
        return value.sum() if pieces is None else pieces.sum(-2).sum()
    if not value.numel():
        return value.new_full((), -torch.inf)
    return value.amax() if pieces is None else pieces.amax(-2).amax()


def join(rules: Sequence[Sum], parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """From those of all parts of a tensor."""
    if len(parts) == 1:
        return list(parts[0])
    several = zip(rules, zip(*parts, strict=True), strict=True)
    return [sharding.reduce(each, "max" if rule.how == "max" else "sum") for rule, each in several]


def complete(
    rules: Sequence[Sum], here: Sequence[Sequence[Tensor]], leaves: Sequence[Leaf]
) -> list[list[Tensor]]:
    """By parameter and rule, of whole tensors, from what lives here: one message for the sums of all, and one for the
    largest values."""
    found = [list(numbers) for numbers in here]
    for how in ("sum", "max"):
        which = [
            (i, r)
            for r, rule in enumerate(rules)
            if (rule.how == "max") == (how == "max")
            for i in range(len(here))
        ]
        parts, places = [here[i][r] for i, r in which], [leaves[i].place for i, _ in which]
        for (i, r), number in zip(which, sharding.totals(parts, places, how), strict=True):
            found[i][r] = number
    return found


def count(leaf: Leaf) -> int:
    """Numbers in the whole parameter."""
    return leaf.shape.numel() * (2 if leaf.param.is_complex() else 1)
