"""One list of everything piste carries: what `piste list` prints and what the tests walk."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

KINDS = (
    "optimizer", "transform", "schedule", "view", "oracle", "search",
    "average", "merge", "memory", "batch", "rate", "diagnostic", "claim", "problem", "task",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A registered thing. ``needs``: what a bare ``piste.NAME(module)`` lacks, e.g. ``("closure",)``."""

    name: str
    kind: str
    target: Callable[..., Any]
    needs: tuple[str, ...] = ()
    said_in: str = ""

    @property
    def module(self) -> str:
        return self.target.__module__

    @property
    def doc(self) -> str:
        return (self.target.__doc__ or "").strip()

    @property
    def summary(self) -> str:
        return " ".join(self.doc.split("\n\n")[0].split())

    @property
    def paper(self) -> list[str]:
        """The exact titles on the docstring's ``Reference: "Title", authors, year, link`` lines, or a claim's own."""
        if self.said_in:
            return [self.said_in]
        found = re.findall(r'^\s*Reference:\s*"([^"]+)"', self.doc, flags=re.MULTILINE)
        return [" ".join(title.split()) for title in found]

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "paper": self.paper,
            "module": self.module,
            "summary": self.summary,
            "needs": list(self.needs),
        }


_entries: dict[tuple[str, str], Entry] = {}


def register(
    kind: str, name: str, target: Callable[..., Any], needs: Iterable[str] = (), said_in: str = ""
) -> None:
    """Add one thing; a second definition of the same name must come from the same place (a reload). ``said_in``: the
    title of its paper, where its docstring has no line for it."""
    known = _entries.get((kind, name))
    if known is not None and known.module != target.__module__:
        raise ValueError(
            f"{kind} {name!r} of {target.__module__} is already defined in {known.module}: rename one"
        )
    _entries[kind, name] = Entry(name, kind, target, tuple(needs), said_in)


def registry(kind: str | None = None) -> list[Entry]:
    """Everything registered, by kind and name; ``kind`` keeps one kind."""
    found = [e for e in _entries.values() if kind in (None, e.kind)]
    return sorted(found, key=lambda e: (KINDS.index(e.kind), e.name.lower()))


def get(name: str, kind: str | None = None) -> Entry:
    """The entry of that name (case as written first, then any case). Unknown: KeyError with the nearest."""
    if kind is not None and (kind, name) in _entries:
        return _entries[kind, name]
    for same in (str.__eq__, lambda a, b: a.lower() == b.lower()):
        for entry in registry(kind):
            if same(entry.name, name):
                return entry
    raise KeyError(unknown(kind or "name", name, [e.name for e in registry(kind)]))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The text of every "no such thing" message: what was asked, the nearest, what there is."""
    known = list(known)
    spelled = {k.lower(): k for k in known}
    near = [spelled[k] for k in difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.5)]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(known) if len(known) <= 30 else f"{len(known)} names, see `piste list`"
    return (
        f"unknown {what} {name!r}{hint} Known: {listed}"
        if hint
        else f"unknown {what} {name!r}. Known: {listed}"
    )
