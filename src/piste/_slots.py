"""What a transform keeps of a tensor (slots) and what it needs to know of others (sums)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Slot:
    """What a transform keeps of one tensor between steps.

    ``axes`` name the shape over the tensor the transform sees: "m n" is the tensor itself, "m" its rows (kept as
    [m, 1]), "n" its columns ([1, n]), "m m" and "n n" square factors, "" a scalar; further words are those of
    :func:`extent` ("history_size m n", "long long"), or "all", the entries of the group's parameters together ("all m
    n": a matrix over the whole tree, kept by columns), or else an axis as long as ``length(m, n, hyper)`` says. A rule
    that sees the tree is shown what has other axes than the tensor's for all parameters, stacked. ``kind`` says how it
    moves when a basis turns and how it may be stored. It starts as the constant ``fill`` plus ``eye`` times the
    identity (a number, or the name of a hyperparameter). ``when(m, n, hyper)`` may leave it out for a parameter.
    ``shared``: one scalar for the group. ``ring``: the transform returns one row and the engine pushes it into the
    window, oldest row first. ``code``: the codec it is kept in unless ``storage=`` names another. ``at``: names of
    flags among the hyperparameters; in a step where none of them holds the slot is neither read (the transform is given
    None) nor written. ``adds``: a probe that counts, added up over matrices and steps where another is averaged.
    """

    kind: str
    axes: str = "m n"
    fill: float | str = 0.0
    eye: float | str = 0.0
    when: Callable[[int, int, Mapping[str, Any]], bool] | None = None
    shared: bool = False
    ring: bool = False
    length: Callable[[int, int, Mapping[str, Any]], int] | None = None
    code: str = ""
    at: tuple[str, ...] = ()
    adds: bool = False
    dtype: torch.dtype | None = None  # the engine's own, of a weight: whatever the arithmetic is done in

    def __call__(self, axes: str | None = None, **changes: Any) -> Slot:
        return replace(self, axes=self.axes if axes is None else axes, **changes)

    @property
    def flat(self) -> bool:
        """Elementwise over the tensor or a scalar: survives flattening."""
        return self.axes in ("m n", "")

    def within(self, space: tuple[str, str]) -> Slot:
        """The slot of a chain that is held in another space than that of the weights, whose rows and columns are of
        these extents: it is kept in that shape, and not as the parameter is."""
        if self.axes == "":
            return self
        m, n = space
        words = {"m": [m, "1"], "n": ["1", n]}.get(self.axes)
        words = words or [{"m": m, "n": n}.get(word, word) for word in self.axes.split()]
        kept = self.when
        if kept is None:
            return replace(self, axes=" ".join(words))
        rows, columns = space
        return replace(
            self,
            axes=" ".join(words),
            when=lambda m, n, hyper: kept(extent(rows, m, n, hyper), extent(columns, m, n, hyper), hyper),
        )


def extent(word: str, m: int, n: int, hyper: Mapping[str, Any]) -> int:
    """How long an axis is: "m", "n", "long" and "short" (the longer and the shorter of the two), a number, an integer
    hyperparameter by its name, or the least of several words ("rank&short")."""
    sizes = {"m": m, "n": n, "long": max(m, n), "short": min(m, n)}
    return min(sizes.get(w) or int(w if w.isdigit() else hyper[w]) for w in word.split("&"))


moment = Slot("moment")
square = Slot("square")
weights = Slot("weights")
factor = Slot("factor", "m m")
basis = Slot("basis", "m m")
scalar = Slot("scalar", "")
index = Slot("index", "")
probe = Slot("probe", "")
counter = probe(adds=True)


def ring(size: str, kind: Slot = moment) -> Slot:
    """A sliding window of the last ``size`` (name of an integer hyperparameter) tensors, oldest first."""
    return kind(f"{size} {kind.axes}", ring=True)


@dataclass(frozen=True)
class Sum:
    """An element function reduced over a part of the tree. Its arguments go by name: ``u``, inputs, slots and
    hyperparameters of the transform."""

    fn: Callable[..., Any]
    over: str
    how: str = "sum"
    asks: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.over not in ("row", "col", "tensor", "tree"):
            raise ValueError(f"a sum goes over 'row', 'col', 'tensor' or 'tree', not {self.over!r}")
        object.__setattr__(self, "asks", tuple(inspect.signature(self.fn).parameters))


def total(fn: Callable[..., Any], over: str = "tensor") -> Sum:
    """Sum of ``fn`` over rows ([m, 1]), columns ([1, n]), the tensor or the tree (0-d)."""
    return Sum(fn, over)


def mean(fn: Callable[..., Any], over: str = "tensor") -> Sum:
    """Mean of ``fn``, as :func:`total`."""
    return Sum(fn, over, "mean")


def largest(fn: Callable[..., Any], over: str = "tensor") -> Sum:
    """Maximum of ``fn``, as :func:`total`."""
    return Sum(fn, over, "max")
