"""Matrix views: how a parameter of any shape is seen as one matrix, a batch of them, or several of unequal
height.

A view is an einops pattern, optionally with the sizes of axes that the shape does not tell and with row
splits::

    o i h w -> o (i h w)                        a convolution as one matrix
    (three o) i -> three o i | three=3          three projections fused by rows
    o i -> o i | rows=64+32+32                  three of unequal height (grouped-query attention)
    o i -> o i | block=1024                     blocks of at most 1024 rows and columns
    o i -> o i | merge=1024                     a matrix of at most 1024 entries as one row
    i o -> o i                                  a weight stored as [in, out]

The text is the whole view: it fits a param group and loads with ``weights_only=True``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from einops import EinopsError, rearrange
from torch import Tensor

_DIMENSION = re.compile(r"\(([^()]*)\)|(\S+)")
_AXIS = re.compile(r"1|[A-Za-z][A-Za-z0-9_]*")


def _dimensions(side: str) -> list[tuple[str, ...]]:
    """``"(h d) i"`` → ``[("h", "d"), ("i",)]``; the literal axis 1 has no name and becomes ``()``."""
    found = [tuple((group or single).split()) for group, single in _DIMENSION.findall(side)]
    return [tuple(axis for axis in axes if axis != "1") for axes in found]


@dataclass(frozen=True)
class MatrixView:
    """The pattern ``forward -> matrices``, the sizes it needs, the heights its rows are cut into (if any), then the
    size of blocks and that of matrices which become one row (0: none)."""

    pattern: str
    sizes: tuple[tuple[str, int], ...] = ()
    rows: tuple[int, ...] = ()
    block: int = 0
    merge: int = 0

    def __post_init__(self) -> None:
        if problem := _problem(self):
            raise ValueError(
                f"matrix view '{self}' {problem}; a view reads like '(three h) i -> three h i | three=3'"
            )

    @classmethod
    def parse(cls, text: str) -> MatrixView:
        """The view written by ``str(view)``: ``PATTERN | axis=size … rows=a+b+c``."""
        return _parse(text)

    def __str__(self) -> str:
        facts = [f"{name}={size}" for name, size in self.sizes]
        facts += [f"rows={'+'.join(map(str, self.rows))}"] if self.rows else []
        facts += [f"{name}={size}" for name, size in (("block", self.block), ("merge", self.merge)) if size]
        return f"{self.pattern} | {' '.join(facts)}" if facts else self.pattern

    def apply(self, t: Tensor) -> Tensor | list[Tensor]:
        """``[*batch, m, n]``, or one such tensor per row block. Shares memory with ``t`` wherever strides
        allow."""
        try:
            seen = rearrange(t, self.pattern, **dict(self.sizes))
            parts = list(seen.split(self.rows, dim=-2)) if self.rows else seen
        except (EinopsError, RuntimeError) as error:
            raise self._misfit(t.shape) from error
        if not (self.block or self.merge):
            return parts
        tiles = [b for m in ([parts] if isinstance(parts, Tensor) else parts) for b in self._tiles(m)]
        return tiles if len(tiles) > 1 else tiles[0]

    def _tiles(self, m: Tensor) -> list[Tensor]:
        """A matrix in blocks, row of blocks by row of blocks; a small one as one row."""
        if m.shape[-2:].numel() <= self.merge:
            return [m.flatten(-2).unsqueeze(-2)]
        size = self.block or max(m.shape[-2:])
        return [b for strip in m.split(size, dim=-2) for b in strip.split(size, dim=-1)]

    def _whole(self, tiles: list[Tensor], rows: int, columns: int) -> Tensor:
        """The first of ``tiles`` put together to one matrix, and taken off the list."""
        if rows * columns <= self.merge:
            one = tiles.pop(0)
            return one.reshape(*one.shape[:-2], rows, columns)
        size = self.block or max(rows, columns)
        down, across = -(-rows // size), -(-columns // size)
        return torch.cat([torch.cat([tiles.pop(0) for _ in range(across)], -1) for _ in range(down)], -2)

    def invert(self, matrices: Tensor | Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """The tensor of ``shape`` whose view is ``matrices``: ``invert(apply(t), t.shape)`` equals ``t``
        exactly."""
        if self.block or self.merge:
            tiles = [matrices] if isinstance(matrices, Tensor) else list(matrices)
            matrices = [self._whole(tiles, *seen[-2:]) for seen in _uncut(self, tuple(shape))]
        whole = matrices if isinstance(matrices, Tensor) else torch.cat(list(matrices), dim=-2)
        left, right = self.pattern.split("->")
        return rearrange(whole, f"{right.strip()} -> {left.strip()}", **_axes(self, tuple(shape)))

    def shapes(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """The shapes of ``apply`` on a tensor of ``shape``; raises ``ValueError`` where the view does not
        fit."""
        seen = self.apply(torch.empty(tuple(shape), device="meta"))
        return [tuple(m.shape) for m in ([seen] if isinstance(seen, Tensor) else seen)]

    def _misfit(self, shape: Sequence[int]) -> ValueError:
        return ValueError(
            f"matrix view '{self}' does not fit shape {tuple(shape)}: every dimension on the left needs one "
            "of the tensor's, products must divide, and row blocks must add up to the rows"
        )


def _problem(view: MatrixView) -> str | None:
    left, arrow, right = view.pattern.partition("->")
    if not arrow:
        return "has no '->'"
    if not all(_AXIS.fullmatch(axis) for axis in re.sub(r"[()]", " ", f"{left} {right}").split()):
        return "uses more than names, 1 and parentheses"
    before, after = ([axis for axes in _dimensions(side) for axis in axes] for side in (left, right))
    if sorted(before) != sorted(after) or len(set(before)) < len(before):
        return "must use each axis once on either side"
    if len(_dimensions(right)) < 2:
        return "must end in at least two axes, [*batch, m, n]"
    if unknown := {name for name, _ in view.sizes} - set(before):
        return f"gives a size to unknown axes {sorted(unknown)}"
    positive = (
        all(n > 0 for n in (*dict(view.sizes).values(), *view.rows)) and min(view.block, view.merge) >= 0
    )
    return None if positive else "needs positive sizes"


@lru_cache(maxsize=4096)
def _uncut(view: MatrixView, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes of the matrices that are cut into blocks."""
    return replace(view, block=0, merge=0).shapes(shape)


@lru_cache(maxsize=4096)
def _parse(text: str) -> MatrixView:
    pattern, _, facts = text.partition("|")
    given: dict[str, str] = {}
    for fact in facts.replace(",", " ").split():
        name, equals, value = fact.partition("=")
        if not equals or not all(part.isdigit() for part in value.split("+")):
            raise ValueError(
                f"matrix view '{text}': cannot read '{fact}'; after '|' write axis=size or rows=64+32+32"
            )
        given[name] = value
    rows = tuple(map(int, given.pop("rows", "").split("+"))) if "rows" in given else ()
    block, merge = (int(given.pop(name, 0)) for name in ("block", "merge"))
    return MatrixView(
        " ".join(pattern.split()),
        tuple((name, int(value)) for name, value in given.items()),
        rows,
        block,
        merge,
    )


@lru_cache(maxsize=4096)
def _axes(view: MatrixView, shape: tuple[int, ...]) -> dict[str, int]:
    """The size of every axis of ``view`` on a tensor of ``shape``; what the inverse pattern cannot infer."""
    dimensions = _dimensions(view.pattern.split("->")[0])
    sizes = dict(view.sizes)
    if len(dimensions) != len(shape):
        raise view._misfit(shape)
    for axes, extent in zip(dimensions, shape):
        unknown = [axis for axis in axes if axis not in sizes]
        known = math.prod(sizes[axis] for axis in axes if axis in sizes)
        if len(unknown) > 1 or extent % known or (not unknown and extent != known):
            raise view._misfit(shape)
        sizes.update(dict.fromkeys(unknown, extent // known))
    return sizes


def default_view(ndim: int) -> MatrixView:
    """Without a pattern: 0-d → [1, 1], 1-d → [1, n], 2-d → [m, n], more → [first, all others]."""
    if ndim < 2:
        return MatrixView("-> 1 1" if ndim == 0 else "n -> 1 n")
    rest = " ".join(f"n{k}" for k in range(1, ndim)) if ndim > 2 else "n"
    return MatrixView(f"m {rest} -> m ({rest})" if ndim > 2 else "m n -> m n")


def matrix_view(text: str | None, ndim: int) -> MatrixView:
    """The view that a role or a group names, or the default of ``ndim`` dimensions where it names none."""
    return _parse(text) if text else default_view(ndim)
