"""Which axes of a matrix a preconditioner keeps a factor for.

An axis of length 1 has nothing to precondition: it keeps no factor, so that a vector (one row) has one. Axes longer
than a bound keep none either, or only a diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Keeps = Callable[[int, int, Mapping[str, Any]], bool]


def axes(m: int, n: int) -> tuple[bool, bool]:
    """Which sides have a factor; a single number counts as a column."""
    return m > 1, n > 1 or m == 1


def short(side: int) -> Keeps:
    """Whether this side (0: rows, 1: columns) has a factor, as a slot's ``when`` asks."""
    return lambda m, n, hyper: axes(m, n)[side] and (m, n)[side] <= hyper["max_precond_dim"]


def long(side: int) -> Keeps:
    """Whether this side has but a diagonal."""
    return lambda m, n, hyper: axes(m, n)[side] and (m, n)[side] > hyper["max_precond_dim"]
