"""Which rank has a cut matrix whole, runs the rules that see it, and keeps their slots."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from .._owners import matrix_rules, movable, price
from ._parameters import Parameter


def owned(p: Parameter) -> bool:
    """Whether a parameter goes whole to one rank: one that is cut along one axis, under rules that can."""
    return p.trained and len(p.cut.cut) == 1 and movable(p.chain)


def deal(found: Iterable[Parameter]) -> list[tuple[Parameter, int]]:
    """Every owned parameter with its owner along the axis that cuts it: group by group the dearest first, each to the
    rank with the least work."""
    work: dict[str, list[tuple[float, int]]] = {}
    prices: dict[Any, float] = {}
    dealt = []
    groups: dict[int, list[Parameter]] = {}
    for p in found:
        if owned(p):
            groups.setdefault(p.group, []).append(p)
            if p.alike not in prices:
                prices[p.alike] = price(matrix_rules(p.chain), p.leaf)
    for members in groups.values():
        for p in sorted(members, key=lambda p: -prices[p.alike]):
            (axis,) = p.cut.cut
            if axis not in work:
                work[axis] = [(0.0, r) for r in range(getattr(p.cut.mesh, axis))]
            load = work[axis]
            least, rank = load[0]
            heapq.heapreplace(load, (least + prices[p.alike], rank))
            dealt.append((p, rank))
    return dealt
