"""Chains: transforms with their hyperparameters, in the order of the rooms of a step.

    [sense]  [oracle]  direction ...  (descend | search)  delta ...  [point]

A chain is checked when it is made: order, slots that share a name, inputs nobody provides.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ._slots import Slot, Sum

if TYPE_CHECKING:
    from ._transform import Transform

SCOPES = ("element", "tensor", "tree")
ROOMS = ("sense", "oracle", "direction", "length", "delta", "point")
# of the rows and columns of a matrix, from the layer that owns it
SENSED = ("row_cov", "col_cov", "row_sq", "col_sq")
OF_TREE = ("dot", "peak")  # functions that a rule over the tree is handed
OF_ORACLES = ("loss", "hvp", "vector", "secant", "rows")
OF_COMPOSITES = ("spectrum",)
INPUTS = ("param", "grad", "step", "noise", *OF_ORACLES, *OF_COMPOSITES, *OF_TREE, *SENSED)
PROVIDED = ("param", "grad", "step", "noise", *OF_TREE)  # what a step has without an oracle or a closure


def sensed_shapes(m: int, n: int) -> dict[str, tuple[int, int]]:
    """Of what is sensed, for an m × n matrix."""
    return dict(zip(SENSED, ((m, m), (n, n), (m, 1), (1, n)), strict=True))


def sees_sheet(scope: str, slots: Iterable[Slot], sums: Iterable[Sum]) -> bool:
    """Whether a part must see the parameter as a matrix: matrix algebra, or rows and columns."""
    if scope != "element":
        return scope == "tensor"
    return any(not s.flat for s in slots) or any(s.over in ("row", "col") for s in sums)


def widest(transform: Transform, held: Iterable[Any]) -> str:
    """The scope of a rule, or the widest of those it holds. Where one of them asks for sums, these are made of what the
    rule is given, which must then be a whole matrix."""
    scopes = (max(h.scope, "tensor" if h.transform.sums else "element", key=SCOPES.index) for h in held)
    return max((transform.scope, *scopes), key=SCOPES.index)


class Part:
    """A transform with its hyperparameters (numbers, or functions of the step) and the chains it holds."""

    __slots__ = ("transform", "hyper", "inner")

    def __init__(self, transform: Transform, hyper: dict[str, Any], inner: tuple[Chain, ...] = ()) -> None:
        self.transform, self.hyper, self.inner = transform, hyper, inner

    @property
    def sheet(self) -> bool:
        """Whether it must see the parameter as a matrix: matrix algebra, or rows and columns."""
        t = self.transform
        return sees_sheet(self.scope, (s for _, s, _ in self.slots()), t.sums.values())

    @property
    def scope(self) -> str:
        """The widest of its own and of the chains it holds."""
        return widest(self.transform, (p for c in self.inner for p in c))

    def prefix(self, i: int) -> str:
        """Slots of held chains are prefixed when there are several, so that two Adams can sit side by side."""
        return f"{self.transform.holds[i]}." if len(self.inner) > 1 else ""

    def slots(self) -> Iterator[tuple[str, Slot, dict[str, Any]]]:
        for name, slot in self.transform.slots.items():
            yield name, slot, self.hyper
        for i, held in enumerate(self.inner):
            for name, slot, hyper in held.slots():
                if (space := self.transform.space) is not None:
                    slot, hyper = slot.within(space), {**hyper, **self._words(space)}
                yield self.prefix(i) + name, slot, hyper

    def _words(self, space: tuple[str, str]) -> dict[str, Any]:
        """The hyperparameters that the extents of the inner space speak of."""
        return {w: self.hyper[w] for word in space for w in word.split("&") if w in self.hyper}

    def __repr__(self) -> str:
        held = [repr(c) for c in self.inner]
        return f"{self.transform.name}({', '.join([*held, *(f'{k}={v!r}' for k, v in self.hyper.items())])})"


class Chain:
    """A tuple of parts in the order of the rooms. ``chain + part`` and ``chain(chain, part)`` are chains."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __add__(self, other: Chain | Part) -> Chain:
        return chain(self, other)

    def room(self, room: str) -> list[Part]:
        return [p for p in self.parts if p.transform.room == room]

    def slots(self) -> Iterator[tuple[str, Slot, dict[str, Any]]]:
        """(name, slot, the hyperparameters it may name), the held chains' included."""
        for part in self.parts:
            yield from part.slots()

    def everything(self) -> Iterator[Part]:
        """All parts, those of held chains included."""
        for part in self.parts:
            yield part
            for held in part.inner:
                yield from held.everything()

    @property
    def primes(self) -> bool:
        """Whether the first gradient only sets a part up: step 0, nothing written, nothing counted."""
        return any(p.transform.primes for p in self.everything())

    @property
    def tile(self) -> tuple[int, int]:
        """(block_size, merge) of the part that cuts matrices into blocks; (0, 0) where none does."""
        found = {(p.hyper["block_size"], p.hyper["merge"]) for p in self.everything() if p.transform.tiles}
        if len(found) > 1:
            raise ValueError(f"a chain cuts its matrices into blocks of one size, not {sorted(found)}")
        return next(iter(found), (0, 0))

    @property
    def needs_closure(self) -> bool:
        return any(p.transform.room in ("oracle", "search") for p in self.parts)

    @property
    def senses(self) -> bool:
        """Whether it watches the layers that own its parameters."""
        return bool(self.room("sense"))

    @property
    def whole_tree(self) -> bool:
        """Whether some part looks at all parameters at once."""
        return any(
            p.scope == "tree" or any(s.over == "tree" for s in p.transform.sums.values())
            for p in self.everything()
        )

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.parts))})"


def as_chain(value: Any) -> Chain:
    if isinstance(value, Chain):
        return value
    if isinstance(value, Part):
        return Chain((value,))
    hint = " (call it with its hyperparameters)" if hasattr(value, "room") else ""
    raise TypeError(f"expected a transform with its hyperparameters or a chain, got {value!r}{hint}")


_checked: set[tuple[Any, ...]] = set()


def chain(*parts: Part | Chain) -> Chain:
    """Put parts behind one another. Errors (ValueError): misplaced part, duplicate slot, input nobody provides."""
    flat: list[Part] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Chain) else as_chain(part).parts)
    result = Chain(tuple(flat))
    key = _structure(result)
    if key not in _checked:  # chains are rebuilt every step; each structure is checked once
        _check_chain(result)
        _checked.add(key)
    return result


def _structure(c: Chain) -> tuple[Any, ...]:
    return tuple((p.transform, *(_structure(h) for h in p.inner)) for p in c.parts)


def _check_chain(c: Chain) -> None:
    at, before = 0, "the start"
    _check_clips(c)
    for part in c.parts:
        name, room = part.transform.name, part.transform.room
        here = ROOMS.index("length" if room == "search" else room)
        if here < at:
            raise ValueError(f"{name} ({room}) is misplaced after {before}: the order is sense, oracle, direction, "
                             "descend or search, delta, point")  # fmt: skip
        at, before = here, name
        for held in part.inner:
            wrong = [p.transform.name for p in held.parts if p.transform.room != "direction"]
            if wrong:
                raise ValueError(f"{name} holds {', '.join(wrong)}: only direction transforms can be held")
            if part.transform.space is not None:
                _check_space(name, held)
            if held.whole_tree:
                raise ValueError(
                    f"{name} holds {held}, of which a part looks at the whole tree: put it in front"
                )
    for room in ("sense", "oracle", "length", "point"):
        same = [
            p.transform.name
            for p in c.parts
            if p.transform.room in (room, "search" if room == "length" else room)
        ]
        if len(same) > 1:
            raise ValueError(f"a chain has at most one {room} part, got {', '.join(same)}")
    names = [name for name, _, _ in c.slots()]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"two parts of the chain keep a slot named {', '.join(twice)}: "
                         "drop one of them, or hold them in a composite, which prefixes its chains' slots")  # fmt: skip
    # what a composite provides to the chains that it holds these lack while they stand alone
    check_inputs(c, () if any(p.transform.room != "direction" for p in c.parts) else OF_COMPOSITES)


def check_inputs(c: Chain, also: tuple[str, ...] = ()) -> None:
    """Refuse a chain of which a part asks for what nobody provides."""
    provided = {*PROVIDED, *also}
    for part in c.everything():
        provided |= set(part.transform.provides)
    for part in c.everything():
        for name in part.transform.asks:
            if name in INPUTS and name not in provided and name != "loss":
                what = "sense" if name in SENSED else "oracle"
                raise ValueError(f"{part.transform.name} needs {name!r}, which no {what} of the chain provides: "
                                 f"put an {what} that does in front".replace("an s", "a s"))  # fmt: skip


def _check_space(name: str, held: Chain) -> None:
    for part in held.everything():
        if part.transform.space is not None or any(
            s.kind == "weights" for s in part.transform.slots.values()
        ):
            raise ValueError(
                f"{name} holds {part.transform.name} in a space of another shape than the weights', but that "
                "keeps a copy of the weights or has a space of its own: put it outside"
            )


def _check_clips(c: Chain) -> None:
    normal = ""
    for part in c.parts:
        if part.transform.clips and normal:
            warnings.warn(f"{part.transform.name} comes after {normal}, whose result has one size whatever came in: "
                          "it divides every step by a constant of the model. Clip before it", stacklevel=5)  # fmt: skip
        if part.transform.normalizes:
            normal = part.transform.name
