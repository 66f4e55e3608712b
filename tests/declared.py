"""Which optimizers stand for all: together they declare all that any of them declares to the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import piste

USUAL = (
    "AdamW",
    "SGD",
    "Lion",
    "Muon",
    "SOAP",
    "Shampoo",
    "ScheduleFreeAdamW",
    "LBFGS",
    "Adafactor",
    "GaLoreAdamW",
)
ASKED = ("noise", "loss", "hvp", "vector", "secant", "rows", "spectrum", "dot", "peak")


def declarations(chain: Any) -> Iterator[Any]:
    """Rooms and scopes, slots by kind and shape, sums and what they read, inputs beyond the usual ones, and what
    composites hold."""
    behind = False  # what keeps something
    for part in chain:
        rule = part.transform
        yield rule.room, rule.scope
        for s in rule.slots.values():
            optional, sized = s.when is not None, s.length is not None
            yield (
                "slot",
                rule.scope,
                s.kind,
                s.axes,
                s.shared,
                s.ring,
                optional,
                sized,
                s.code,
                bool(s.at),
                s.dtype,
            )
        for s in rule.sums.values():
            reads = any(a in rule.slots for a in s.asks), any(a in rule.hyper for a in s.asks)
            yield "sum", rule.scope, s.over, s.how, reads, (s.over == "tree" and behind)
        behind = behind or bool(rule.slots)
        yield from (("asks", rule.scope, a) for a in rule.asks if a in ASKED)
        yield rule.primes, rule.whole, rule.tiles
        yield "holds", rule.scope, len(part.inner), rule.space
        for held in part.inner:
            yield from declarations(held)


def representatives(names: Sequence[str]) -> list[str]:
    """The usual ones, and every other that declares something that none before it does."""
    seen: set[Any] = set()
    chosen: list[str] = []
    for name in [*(n for n in USUAL if n in names), *(n for n in names if n not in USUAL)]:
        entry = piste.get(name, "optimizer")
        own = {*declarations(entry.target.chain()), entry.needs, bool(entry.target.factory.matrix)}
        if name in USUAL or own - seen:
            chosen.append(name)
        seen |= own
    return sorted(chosen, key=list(names).index)
