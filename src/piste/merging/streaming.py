"""Tensors in pieces, each read while the one before it is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
PIECE = (
    1 << 20
)  # elements: a few of them stay in a processor's cache, and memory is not claimed anew for each


def cuts(numel: int) -> list[slice]:
    """Where a tensor of so many elements is cut; an empty one is one piece."""
    return [slice(at, min(at + PIECE, numel)) for at in range(0, max(numel, 1), PIECE)]


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one made in a thread while this one is used: no more than two exist at a time."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
            del item
