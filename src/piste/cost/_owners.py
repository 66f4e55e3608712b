"""Which rank has a cut matrix whole, runs the rules that see it, and keeps their slots."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Any

from .._chain import Chain
from .._leaf import blocks, slot_shapes
from ._parameters import Parameter


def matrices(chain: Chain) -> Chain:
    """The parts of a chain that see matrices."""
    return Chain(tuple(p for p in chain.parts if p.sheet))


def owned(p: Parameter) -> bool:
    """Whether a parameter goes whole to one rank: one that is cut along one axis. With several axes, or where matrix
    rules keep a copy of the weights or a number for the whole group, every rank gathers it and keeps all that."""
    parts = matrices(p.chain).parts
    stays = any(slot.shared or slot.kind == "weights" for part in parts for _, slot, _ in part.slots())
    seen = any(part.transform.view_fn is not None for part in parts)
    return p.trained and len(p.cut.cut) == 1 and bool(parts) and not stays and not seen


def price(p: Parameter) -> float:
    """What owners are balanced by: products with every matrix, mn min(m, n), and decompositions of the square factors
    that are kept, m³."""
    products = sum(shape.numel() * min(shape[-2:]) for shape in blocks(p.leaf))
    kept = [
        s for slot, s, _ in slot_shapes(matrices(p.chain), p.leaf).values() if slot.axes in ("m m", "n n")
    ]
    return float(products + sum(math.prod(shape) * shape[-1] for shape in kept))


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
                prices[p.alike] = price(p)
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
