"""The algebra: transforms, and the vocabulary their authors import from here.

A *transform* is a pure function of one tensor. Its first argument is the incoming update; further positional
arguments are asked for by name (an input, one of its slots or sums, an inner chain it holds); keyword-only
arguments are hyperparameters. It returns the new update, then its new slots in the order they were declared.
Unknown names are refused when the transform is defined.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ._chain import INPUTS, ROOMS, SCOPES, Part
from ._chain import Chain as Chain
from ._chain import as_chain as as_chain
from ._chain import chain as chain
from ._registry import register, unknown
from ._signals import Signal as Signal
from ._signals import declare as declare_signal
from ._signals import signal as signal
from ._slots import Slot as Slot
from ._slots import Sum as Sum
from ._slots import basis as basis
from ._slots import counter as counter
from ._slots import factor as factor
from ._slots import index as index
from ._slots import largest as largest
from ._slots import mean as mean
from ._slots import moment as moment
from ._slots import probe as probe
from ._slots import ring as ring
from ._slots import scalar as scalar
from ._slots import square as square
from ._slots import total as total
from ._slots import weights as weights

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
        space: tuple[str, str] | None = None,
        normalizes: bool = False,
        clips: bool = False,
        invariant: tuple[str, ...] = (),
        precision: float = 1e-9,
        whole: str = "",
        only: Mapping[str, str] | None = None,
        signals: dict[str, Signal] | None = None,
        tiles: bool = False,
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.name = fn, fn.__name__
        self.room, self.scope, self.slots, self.sums = room, scope, slots, sums
        self.holds, self.provides, self.primes, self.space = holds, provides, primes, space
        self.normalizes, self.clips = normalizes, clips
        self.invariant, self.precision, self.whole, self.tiles = invariant, precision, whole, tiles
        self.only, self.signals = dict(only or {}), signals or {}
        self.finish: Callable[..., Any] | None = None  # of a sense
        self.per_example = True
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
        if self.room in ("sense", "oracle", "search"):
            return
        self._check_signals(where)
        known = {*INPUTS, *self.slots, *self.sums, *self.holds, *self.signals}
        for name in self.asks:
            if name not in known:
                raise TypeError(f"{where} asks for {name!r}: {unknown('input', name, sorted(known))}")
        for name, rule in self.sums.items():
            shown = {"u", *INPUTS, *self.slots, *self.hyper, *self.signals}
            for asked in rule.asks:
                if asked not in shown:
                    raise TypeError(f"{where}, sum {name!r}: {unknown('input', asked, sorted(shown))}")
                if asked in self.slots and not self.slots[asked].flat:
                    raise TypeError(
                        f"{where}, sum {name!r} reads slot {asked!r}, which is not shaped as the update is"
                    )
        summed = {a for rule in self.sums.values() for a in rule.asks}
        for name in (*self.slots, *self.holds, *self.signals):
            if name not in self.asks and not (name in self.slots and name in summed):
                raise TypeError(f"{where} declares {name!r} but has no positional argument of that name")
        for name, flag in self.only.items():
            if name not in self.asks or flag not in self.hyper:
                raise TypeError(
                    f"{where}: only={{{name!r}: {flag!r}}} maps an input it asks for to a hyperparameter"
                )

    def _check_signals(self, where: str) -> None:
        for name, made in self.signals.items():
            if name in (*INPUTS, *self.slots, *self.sums, *self.holds):
                raise TypeError(f"{where}: signal {name!r} has the name of another input")
            declare_signal(name, made, where)
            if self.scope == "tree" or (self.scope == "element" and not made.rows):
                raise TypeError(
                    f"{where} has scope {self.scope!r}, which cannot see signal {name!r} as it was reported: "
                    "declare it by rows, signal('m'), in an element rule, or take scope='tensor'"
                )

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


def transform(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    room: str = "direction",
    scope: str = "element",
    sums: Mapping[str, Sum] | None = None,
    holds: tuple[str, ...] = (),
    space: tuple[str, str] | None = None,
    provides: tuple[str, ...] = (),
    primes: bool = False,
    normalizes: bool = False,
    clips: bool = False,
    invariant: tuple[str, ...] = (),
    precision: float = 1e-9,
    whole: str = "",
    only: Mapping[str, str] | None = None,
    signals: Mapping[str, Signal] | None = None,
    tiles: bool = False,
    **slots: Slot,
) -> Any:
    """Declare a transform (see the module's docstring); registers it.

    ``scope``: "element" (the result at an index depends on that index and on declared sums), "tensor" (the whole
    matrix) or "tree" (everything, as one vector). ``sums``: name -> :func:`total`/:func:`mean`/:func:`largest`.
    ``holds``: names of chains it runs inside; ``provides``: the inputs that it hands to them itself; ``space``: the
    extents (see `_slots.extent`) of the matrices those chains see, where they are of another shape than the weights.
    ``primes``: the first gradient only sets it up: at step 0 nothing but its own slots is written. ``normalizes``: its
    result has one size, whatever came in; ``clips``: it bounds the size (a chain that does the latter after the former
    draws a warning). ``invariant``: what `piste.laws` is to check, of "sign" (f(-g) = -f(g)), "scale" (f(cg) = f(g))
    and "transpose" (f(gᵀ) = f(g)ᵀ), to ``precision`` (0.1 for bf16). ``whole``: the hyperparameter that, where it
    holds, lets it take whole weights only ("always": it never takes sharded ones); the optimizer refuses others when it
    is made. ``only``: inputs that are made in those steps alone in which a bool hyperparameter holds (``{"noise":
    "refresh"}``). ``signals``: name -> :func:`signal`, what the model reports of the parameter (:func:`piste.report`),
    or None. ``tiles``: its hyperparameters ``block_size`` and ``merge`` say how the chain's matrices are cut into
    blocks.
    Errors (TypeError) name the transform and the unknown name.
    """

    def declare(fn: Callable[..., Any]) -> Transform:
        declared = Transform(
            fn, room=room, scope=scope, slots=dict(slots), sums=dict(sums or {}), holds=holds, provides=provides,
            primes=primes, normalizes=normalizes, clips=clips, invariant=invariant, precision=precision, whole=whole,
            only=only, signals=dict(signals or {}), tiles=tiles, space=space,
        )  # fmt: skip
        kind = "oracle" if room == "sense" else room if room in ("oracle", "search") else "transform"
        needs = ("module",) if room == "sense" else ("closure",) if kind != "transform" else ()
        register(kind, fn.__name__, declared, needs)
        return declared

    return declare if fn is None else declare(fn)


def oracle(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    provides: tuple[str, ...] = ("loss",),
    whole: str = "",
    **slots: Slot,
) -> Any:
    """Declare where the slope comes from: ``fn(evaluate, params, *, ...) -> (loss, grads)`` over lists.

    ``evaluate(point=None) -> (loss, grads)`` runs the user's closure at the weights or at ``point``;
    ``evaluate.hvp(vectors)`` gives Hessian-vector products. Further arguments by name: ``step``, ``noise`` (a list of
    standard normals, counter-based), its slots. What else it ``provides`` ("hvp", "vector") it returns behind the
    gradients in that order, a list over the parameters each (or None in a step without), and then its new slots. An
    entry of such a list may have a leading axis of its own: several vectors, which a rule of scope "tree" sees as rows
    (what lives here of them, if the parameters are sharded). ``whole``: see :func:`transform`.
    """
    return transform(fn, room="oracle", scope="tree", provides=provides, whole=whole, **slots)  # pyright: ignore


def search(fn: Callable[..., Any] | None = None, /, **slots: Slot) -> Any:
    """Declare how far to go: ``fn(evaluate, params, direction, loss, grads, *, ...) -> scale`` over lists."""
    return transform(fn, room="search", scope="tree", **slots)  # pyright: ignore


def sense(
    *, provides: tuple[str, str], finish: Callable[..., Any] | None = None, per_example: bool = True
) -> Any:
    """Declare a statistic of the layers that own a chain's parameters: ``fn(a, g, *, ...) -> (of a, of g)``.

    ``a`` [N, R, n] are the inputs of a layer in a backward pass, with a last column of ones where it has a bias, ``g``
    [N, R, m] the gradients at its outputs: N examples with R places each (of a convolution; a linear layer takes every
    row for an example). The answers, a vector or a square matrix each, or None, are added up over micro-batches and
    processes and divided by N. ``provides``: the names of the inputs they become, that of a matrix's rows (outputs)
    first. ``per_example``: whether g is each example's own gradient, or that of the batch's mean loss as it comes.
    ``finish(of_a, of_g)`` maps the complete statistics. A hyperparameter ``refresh`` says in which steps they are
    wanted.
    """

    def declare(fn: Callable[..., Any]) -> Transform:
        declared: Transform = transform(fn, room="sense", provides=provides)
        declared.finish, declared.per_example = finish, per_example
        return declared

    return declare
