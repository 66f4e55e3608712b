"""Errors a person can act on: each names the thing at fault and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RaceError(ValueError):
    """A race cannot be planned, started or continued as asked."""


def unknown(kind: str, name: str, known: Iterable[str]) -> RaceError:
    """`unknown task 'cod'; did you mean 'code'? known: code, digits-ae`."""
    names = sorted(known)
    by_lower = {n.lower(): n for n in names}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"; did you mean {by_lower[near[0]]!r}?" if near else ";"
    return RaceError(f"unknown {kind} {name!r}{hint} known: {', '.join(names)}")
