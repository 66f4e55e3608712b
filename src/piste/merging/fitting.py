"""Whether models fit together: their tables are compared before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from .sources import Source
from .writing import Row


class Mismatch(ValueError):
    """Models that cannot be merged; the message lists every tensor that is in the way."""


def check(models: Sequence[Source], statistics: Sequence[Source], merged: set[str], any_dtype: bool) -> None:
    """All models have the tensors that are merged, of one shape and dtype, and tie them alike; statistics have the same
    ones of these, in their shapes. Errors: :class:`Mismatch`."""
    first = models[0]
    found = [line for other in models[1:] for line in _models(first, other, merged, any_dtype)]
    found += [line for other in statistics for line in _statistics(first, statistics[0], other, merged)]
    if found:
        raise Mismatch(
            f"the models do not fit together, {len(found)} mismatches:\n  " + "\n  ".join(found) + "\n"
            "Leave tensors out with `tensors: {PATTERN: {method: keep}}` (or drop); for dtypes name the one to have "
            "with `dtype:`"
        )


def _names(first: Source, other: Source, merged: set[str]) -> Iterator[str]:
    for has, lacks in ((first, other), (other, first)):
        for name in sorted(merged & {*has.rows} - {*lacks.rows}):
            yield f"{name}: in {has.name}, not in {lacks.name}"


def _models(first: Source, other: Source, merged: set[str], any_dtype: bool) -> Iterator[str]:
    yield from _names(first, other, merged)
    for name in sorted(merged & {*other.rows} & {*first.rows}):
        mine, its = first.rows[name], other.rows[name]
        if mine.shape != its.shape:
            yield f"{name}: {list(mine.shape)} in {first.name}, {list(its.shape)} in {other.name}"
        elif mine.dtype != its.dtype and not any_dtype:
            yield f"{name}: {short(mine.dtype)} in {first.name}, {short(its.dtype)} in {other.name}"
    mine, its = ({frozenset(names) for names in s.ties} for s in (first, other))
    for names in sorted(map(sorted, mine ^ its)):
        yield f"{' and '.join(names)}: tied in {(first if frozenset(names) in mine else other).name} only"


def _statistics(model: Source, first: Source, other: Source, merged: set[str]) -> Iterator[str]:
    yield from _names(first, other, merged & {*model.rows})
    for name in sorted(merged & {*other.rows} & {*model.rows}):
        mine: Row = model.rows[name]
        if mine.shape != other.rows[name].shape:
            yield f"{name}: {list(mine.shape)} in {model.name}, {list(other.rows[name].shape)} in {other.name}"


def wide(dtype: torch.dtype) -> torch.dtype:
    """What sums of such numbers are taken in: float64 stays, other floats become float32, and what is none stays."""
    return torch.float32 if dtype.is_floating_point and dtype != torch.float64 else dtype


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
