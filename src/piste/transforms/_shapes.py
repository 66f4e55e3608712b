"""Which parameters have a slot: conditions on the shape, for ``when``. A vector is a matrix of one row or column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matrices(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
    """Those with rows and columns to speak of."""
    return min(m, n) > 1


def vectors(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
    """The others."""
    return min(m, n) == 1
