"""The algebra: slots, sums, transforms, chains.

A *transform* is a pure function of one tensor. Its first argument is the incoming update; further positional
arguments are asked for by name (an input, one of its slots or sums, an inner chain it holds); keyword-only
arguments are hyperparameters. It returns the new update, then its new slots in the order they were declared.

A *chain* is a tuple of transforms in the order of the rooms of a step:

    [oracle]  direction ...  (descend | search)  delta ...  [point]

Both are checked before anything runs: names when the transform is defined, order and inputs when it is chained.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ._registry import register, unknown

SCOPES = ("element", "tensor", "tree")
ROOMS = ("oracle", "direction", "length", "delta", "point")
KINDS = ("moment", "square", "weights", "factor", "basis", "scalar", "index", "probe")
INPUTS = ("param", "grad", "step", "loss", "hvp", "noise", "dot")
PROVIDED = frozenset(
    {"param", "grad", "step", "noise", "dot"}
)  # what a step has without an oracle or a closure


@dataclass(frozen=True)
class Slot:
    """What a transform keeps of one tensor between steps.

    ``axes`` name the shape over the tensor the transform sees: "m n" is the tensor itself, "m" its rows (kept as
    [m, 1]), "n" its columns ([1, n]), "m m" and "n n" square factors, "" a scalar; any other word is the name of an
    integer hyperparameter ("history_size m n"). ``kind`` says how it moves when a basis turns and how it may be
    stored. It starts as the constant ``fill`` plus ``eye`` times the identity (a number, or the name of a
    hyperparameter). ``when(m, n, hyper)`` may leave it out for a parameter. ``shared``: one scalar for the group.
    ``ring``: the transform returns one row and the engine pushes it into the window, oldest row first.
    """

    kind: str
    axes: str = "m n"
    fill: float | str = 0.0
    eye: float | str = 0.0
    when: Callable[[int, int, Mapping[str, Any]], bool] | None = None
    shared: bool = False
    ring: bool = False

    def __call__(self, axes: str | None = None, **changes: Any) -> Slot:
        return replace(self, axes=self.axes if axes is None else axes, **changes)

    @property
    def flat(self) -> bool:
        """Elementwise over the tensor or a scalar: survives flattening."""
        return self.axes in ("m n", "")


moment = Slot("moment")
square = Slot("square")
weights = Slot("weights")
factor = Slot("factor", "m m")
basis = Slot("basis", "m m")
scalar = Slot("scalar", "")
index = Slot("index", "")
probe = Slot("probe", "")


def ring(size: str, kind: Slot = moment) -> Slot:
    """A sliding window of the last ``size`` (name of an integer hyperparameter) tensors, oldest first."""
    return kind(f"{size} {kind.axes}", ring=True)


@dataclass(frozen=True)
class Sum:
    """An element function (arguments by name: ``u``, ``param``, ``grad``, ``hvp``) reduced over a part of the tree."""

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


_STATIC = (int, bool, str, "int", "bool", "str")  # annotations of hyperparameters that shape the plan


class Transform:
    """A declared pure function; calling it with hyperparameters gives a :class:`Part` of a chain."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        room: str,
        scope: str,
        slots: dict[str, Slot],
        sums: dict[str, Sum],
        holds: tuple[str, ...],
        provides: tuple[str, ...],
        primes: bool,
        normalizes: bool = False,
        clips: bool = False,
        invariant: tuple[str, ...] = (),
        precision: float = 1e-9,
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.name = fn, fn.__name__
        self.room, self.scope, self.slots, self.sums = room, scope, slots, sums
        self.holds, self.provides, self.primes = holds, provides, primes
        self.normalizes, self.clips = normalizes, clips
        self.invariant, self.precision = invariant, precision
        self.view_fn: Callable[..., Any] | None = None
        self.view_asks: tuple[str, ...] = ()
        parameters = list(inspect.signature(fn).parameters.values())
        first = 0 if room in ("oracle", "search") else 1
        self.asks = tuple(p.name for p in parameters[first:] if p.kind is p.POSITIONAL_OR_KEYWORD)
        hyper = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.hyper = tuple(p.name for p in hyper)
        self.defaults = {p.name: p.default for p in hyper if p.default is not p.empty}
        self.static = frozenset(p.name for p in hyper if p.annotation in _STATIC)
        self._check()

    def _check(self) -> None:
        where = f"transform {self.name!r}"
        if self.scope not in SCOPES:
            raise TypeError(f"{where}: scope {self.scope!r} is none of {SCOPES}")
        if self.room not in ROOMS and self.room != "search":
            raise TypeError(f"{where}: room {self.room!r} is none of {ROOMS}")
        for name, slot in self.slots.items():
            if not isinstance(slot, Slot):
                raise TypeError(f"{where}: slot {name!r} must be a slot maker such as moment, not {slot!r}")
        if self.room in ("oracle", "search"):
            return
        known = {*INPUTS, *self.slots, *self.sums, *self.holds}
        for name in self.asks:
            if name not in known:
                raise TypeError(f"{where} asks for {name!r}: {unknown('input', name, sorted(known))}")
        for name in (*self.slots, *self.holds):
            if name not in self.asks:
                raise TypeError(f"{where} declares {name!r} but has no positional argument of that name")

    def view(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Attach the weights to evaluate: a pure function of ``param``, slots and hyperparameters, by name."""
        self.view_fn, self.view_asks = fn, tuple(inspect.signature(fn).parameters)
        register("view", f"{self.name}.{fn.__name__}", fn)
        return fn

    def __call__(self, *args: Any, **kwargs: Any) -> Part:
        names = (*self.holds, *self.hyper)
        if len(args) > len(names):
            raise TypeError(
                f"{self.name} takes at most {len(names)} arguments ({', '.join(names)}), got {len(args)}"
            )
        given = dict(zip(names, args, strict=False))
        for name in kwargs:
            if name not in names:
                raise TypeError(f"{self.name}: {unknown('hyperparameter', name, names)}")
            if name in given:
                raise TypeError(f"{self.name} got {name!r} twice")
        given = {**self.defaults, **given, **kwargs}
        missing = [n for n in names if n not in given]
        if missing:
            raise TypeError(f"{self.name} needs {', '.join(missing)}")
        inner = tuple(as_chain(given.pop(h)) for h in self.holds)
        return Part(self, {n: self._value(n, given[n]) for n in self.hyper}, inner)

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and name not in self.static:
            return float(value)  # a moving number, whatever it was typed as
        return value

    def __repr__(self) -> str:
        return f"<transform {self.name}>"


def sees_sheet(scope: str, slots: Iterable[Slot], sums: Iterable[Sum]) -> bool:
    """Whether a part must see the parameter as a matrix: matrix algebra, or rows and columns."""
    if scope != "element":
        return scope == "tensor"
    return any(not s.flat for s in slots) or any(s.over in ("row", "col") for s in sums)


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
        scopes = [self.transform.scope, *(p.scope for c in self.inner for p in c)]
        return max(scopes, key=SCOPES.index)

    def prefix(self, i: int) -> str:
        """Slots of held chains are prefixed when there are several, so that two Adams can sit side by side."""
        return f"{self.transform.holds[i]}." if len(self.inner) > 1 else ""

    def slots(self) -> Iterator[tuple[str, Slot, dict[str, Any]]]:
        for name, slot in self.transform.slots.items():
            yield name, slot, self.hyper
        for i, held in enumerate(self.inner):
            for name, slot, hyper in held.slots():
                yield self.prefix(i) + name, slot, hyper

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
    def needs_closure(self) -> bool:
        return any(p.transform.room in ("oracle", "search") for p in self.parts)

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
    hint = " (call it with its hyperparameters)" if isinstance(value, Transform) else ""
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
            raise ValueError(f"{name} ({room}) is misplaced after {before}: the order is oracle, direction, "
                             "descend or search, delta, point")  # fmt: skip
        at, before = here, name
        for held in part.inner:
            wrong = [p.transform.name for p in held.parts if p.transform.room != "direction"]
            if wrong:
                raise ValueError(f"{name} holds {', '.join(wrong)}: only direction transforms can be held")
            if held.whole_tree:
                raise ValueError(
                    f"{name} holds {held}, of which a part looks at the whole tree: put it in front"
                )
    for room in ("oracle", "length", "point"):
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
    provided = set(PROVIDED)
    for part in c.everything():
        provided |= set(part.transform.provides)
    for part in c.everything():
        for name in part.transform.asks:
            if name in INPUTS and name not in provided and name != "loss":
                raise ValueError(f"{part.transform.name} needs {name!r}, which no oracle of the chain provides: "
                                 f"put an oracle that does in front")  # fmt: skip


def _check_clips(c: Chain) -> None:
    normal = ""
    for part in c.parts:
        if part.transform.clips and normal:
            warnings.warn(f"{part.transform.name} comes after {normal}, whose result has one size whatever the gradient: "
                          "it divides every step by a constant of the model. Clip before it", stacklevel=5)  # fmt: skip
        if part.transform.normalizes:
            normal = part.transform.name


def transform(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    room: str = "direction",
    scope: str = "element",
    sums: Mapping[str, Sum] | None = None,
    holds: tuple[str, ...] = (),
    provides: tuple[str, ...] = (),
    primes: bool = False,
    normalizes: bool = False,
    clips: bool = False,
    invariant: tuple[str, ...] = (),
    precision: float = 1e-9,
    **slots: Slot,
) -> Any:
    """Declare a transform (see the module's docstring); registers it.

    ``scope``: "element" (the result at an index depends on that index and on declared sums), "tensor" (the whole
    matrix) or "tree" (everything, as one vector). ``sums``: name -> :func:`total`/:func:`mean`/:func:`largest`.
    ``holds``: names of chains it runs inside. ``primes``: the first gradient only sets it up: at step 0 nothing but its
    own slots is written. ``normalizes``: its result has one size, whatever came in; ``clips``: it bounds the size (a
    chain that does the latter after the former draws a warning). ``invariant``: what `piste.laws` is to check, of "sign"
    (f(-g) = -f(g)), "scale" (f(cg) = f(g)) and "transpose" (f(gᵀ) = f(g)ᵀ), to ``precision`` (products in bf16: 0.1).
    Errors (TypeError) name the transform and the unknown name.
    """

    def declare(fn: Callable[..., Any]) -> Transform:
        declared = Transform(
            fn, room=room, scope=scope, slots=dict(slots), sums=dict(sums or {}), holds=holds, provides=provides,
            primes=primes, normalizes=normalizes, clips=clips, invariant=invariant, precision=precision,
        )  # fmt: skip
        kind = room if room in ("oracle", "search") else "transform"
        register(kind, fn.__name__, declared, ("closure",) if kind != "transform" else ())
        return declared

    return declare if fn is None else declare(fn)


def oracle(
    fn: Callable[..., Any] | None = None, /, *, provides: tuple[str, ...] = ("loss",), **slots: Slot
) -> Any:
    """Declare where the slope comes from: ``fn(evaluate, params, *, ...) -> (loss, grads)`` over lists.

    ``evaluate(point=None) -> (loss, grads)`` runs the user's closure at the weights or at ``point``.
    """
    return transform(fn, room="oracle", scope="tree", provides=provides, **slots)


def search(fn: Callable[..., Any] | None = None, /, **slots: Slot) -> Any:
    """Declare how far to go: ``fn(evaluate, params, direction, loss, grads, *, ...) -> scale`` over lists."""
    return transform(fn, room="search", scope="tree", **slots)
