"""The pure half of a plan: a chain's structure, and running its parts on one tensor.

:func:`resolve` splits a chain into a hashable *structure* (transforms, flags, counts) and the *numbers* that move
(learning rates, betas); :func:`build` turns a structure into :class:`Step` s, once; :func:`run` applies steps to one
tensor with today's numbers. The numbers may be Python floats (eager), 0-d tensors (compiled) or anything that
broadcasts (hypergradients, vmap): the rules cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ._chain import INPUTS, sees_sheet, widest
from ._transform import Chain, Slot, Sum, Transform

# the inputs a composite maps along with its update
WEIGHT_SPACE = ("param", "grad", "hvp", "vector", "secant", "rows")


class _Number:
    """Stands in a structure where a moving number goes."""

    def __repr__(self) -> str:
        return "·"

    def __reduce__(self) -> str:
        return "NUMBER"


NUMBER = _Number()


def resolve(chain: Chain, step: int, numbers: list[Any]) -> tuple[Any, ...]:
    """The chain's structure at this step; appends its moving numbers. Functions of the step are called here."""
    rows = []
    for part in chain.parts:
        row: list[Any] = [part.transform]
        for value in part.hyper.values():
            if callable(value):
                value = value(step)
            if isinstance(value, (float, Tensor)):
                numbers.append(value)
                value = NUMBER
            row.append(value)
        row.extend(resolve(held, step, numbers) for held in part.inner)
        rows.append(tuple(row))
    return tuple(rows)


class Step:
    """One part of a structure, with the places of its numbers and the full names of its slots."""

    __slots__ = ("transform", "prefix", "hyper", "held", "slots", "idle", "scope", "inputs", "sheet", "mute")

    def __init__(self, row: tuple[Any, ...], prefix: str, places: Iterator[int]) -> None:
        t: Transform = row[0]
        self.transform, self.prefix = t, prefix
        self.mute = False  # whether its slots are left as they are
        values = row[1 : 1 + len(t.hyper)]
        self.hyper = [
            (name, next(places) if value is NUMBER else None, value)
            for name, value in zip(t.hyper, values, strict=True)
        ]
        several = len(t.holds) > 1
        self.held = {
            name: build(key, f"{prefix}{name}." if several else prefix, places)
            for name, key in zip(t.holds, row[1 + len(t.hyper) :], strict=True)
        }
        inner = [s for steps in self.held.values() for s in steps]
        flags = {name for name, value in zip(t.hyper, values, strict=True) if value is True}
        self.idle = {name for name, slot in t.slots.items() if slot.at and not flags.intersection(slot.at)}
        self.slots: dict[str, Slot] = {prefix + n: slot for n, slot in t.slots.items() if n not in self.idle}
        held = {name: slot for s in inner for name, slot in s.slots.items()}
        self.slots.update(held if t.space is None else {n: s.within(t.space) for n, s in held.items()})
        self.scope = widest(t, inner)
        idle = {name for name, flag in t.only.items() if not row[1 + t.hyper.index(flag)]}
        asks = {*(a for a in t.asks if a not in idle), *self.sum_inputs}
        mine = {a for a in asks if a in INPUTS or a in t.signals}
        given = t.provides if t.holds else ()  # by itself, to the chains it holds
        self.inputs = mine | {i for s in inner for i in s.inputs if i not in given}
        self.sheet = sees_sheet(self.scope, [*t.slots.values(), *self.slots.values()], t.sums.values())

    @property
    def primes(self) -> bool:
        return self.transform.primes or any(s.primes for steps in self.held.values() for s in steps)

    @property
    def sum_inputs(self) -> set[str]:
        """What its sums ask for, beside the update, its slots and hyperparameters."""
        t = self.transform
        return {a for s in t.sums.values() for a in s.asks} - {"u", *t.slots, *t.hyper}

    @property
    def sum_slots(self) -> dict[str, Slot]:
        """What its sums read of what it keeps."""
        asked = {self.prefix + a for s in self.transform.sums.values() for a in s.asks}
        return {name: slot for name, slot in self.slots.items() if name in asked}

    @property
    def tree_sums(self) -> dict[str, Sum]:
        return {n: s for n, s in self.transform.sums.items() if s.over == "tree"}

    @property
    def tensor_sums(self) -> dict[str, Sum]:
        return {n: s for n, s in self.transform.sums.items() if s.over == "tensor"}

    def hyperparameters(self, numbers: Sequence[Any]) -> dict[str, Any]:
        return {name: value if place is None else numbers[place] for name, place, value in self.hyper}


def build(
    structure: tuple[Any, ...], prefix: str = "", places: Iterator[int] | None = None
) -> tuple[Step, ...]:
    """The steps of a structure. Places count the numbers in the order :func:`resolve` appended them."""
    places = iter(range(1 << 30)) if places is None else places
    return tuple(Step(row, prefix, places) for row in structure)


def priming(steps: Sequence[Step]) -> Sequence[Step]:
    """What runs at step 0: a chain up to its last priming part, and only priming parts write their slots."""
    last = max(i for i, step in enumerate(steps) if step.primes)
    _mute(steps)
    return steps[: last + 1]


def _mute(steps: Sequence[Step]) -> None:
    for step in steps:
        step.mute = not step.transform.primes
        for held in step.held.values():
            _mute(held)


class Frame:
    """What a step sees of one tensor: inputs, slots (by full name), and the names of the slots it changed."""

    __slots__ = ("env", "slots", "changed")

    def __init__(
        self, env: Mapping[Any, Any], slots: dict[str, Any], changed: set[str] | None = None
    ) -> None:
        self.env, self.slots, self.changed = env, slots, set() if changed is None else changed

    def write(self, name: str, value: Any) -> None:
        if value is not self.slots.get(name):  # a slot returned as it came is not written
            self.slots[name] = value
            self.changed.add(name)


class Held:
    """A held chain, as its composite sees it: ``rule(u)`` runs it, ``rule.turn(...)`` carries its slots along."""

    __slots__ = ("_steps", "_frame", "_numbers")

    def __init__(self, steps: tuple[Step, ...], frame: Frame, numbers: Sequence[Any]) -> None:
        self._steps, self._frame, self._numbers = steps, frame, numbers

    def __call__(self, u: Tensor, into: Callable[[Tensor], Tensor] | None = None, **inputs: Any) -> Tensor:
        """Run the chain on ``u``; ``into`` maps the inputs that live in weight space into the inner space."""
        env = dict(self._frame.env)
        if into is not None:
            needed = {i for s in self._steps for i in s.inputs}
            env.update({k: into(env[k]) for k in WEIGHT_SPACE if k in needed and env.get(k) is not None})
        env.update(inputs)
        return run(self._steps, u, Frame(env, self._frame.slots, self._frame.changed), self._numbers)

    def turn(self, **carry: Callable[[Tensor], Tensor]) -> None:
        """When the basis turns: map every slot of the given kinds (``moment=rotate, square=permute``)."""
        for step in self._steps:
            for name, slot in step.slots.items() if not step.mute else ():
                value = self._frame.slots.get(name)
                if slot.kind in carry and value is not None:
                    self._frame.write(name, carry[slot.kind](value))


def run(steps: Sequence[Step], u: Tensor, frame: Frame, numbers: Sequence[Any]) -> Tensor:
    """Apply the steps to one tensor; new slots are left in the frame."""
    for step in steps:
        u = call(step, u, frame, numbers)
    return u


def call(step: Step, u: Tensor, frame: Frame, numbers: Sequence[Any]) -> Tensor:
    t = step.transform
    args: list[Any] = []
    for name in t.asks:
        if name in t.slots:
            args.append(None if name in step.idle else frame.slots.get(step.prefix + name))
        elif name in t.sums:
            args.append(summed(step, name, u, frame, numbers))
        elif name in step.held:
            args.append(Held(step.held[name], frame, numbers))
        else:
            args.append(frame.env.get(name))
    out = t.fn(u, *args, **step.hyperparameters(numbers))
    if not t.slots:
        return out
    u, *new = out
    for name, value in zip(t.slots, new, strict=True):
        if value is None or step.mute or name in step.idle:
            continue
        name = step.prefix + name
        if step.slots[name].kind == "probe" and frame.slots.get(name) is None:
            continue  # nobody is looking
        if step.slots[name].ring:
            window = frame.slots[name]
            value = torch.cat([window[1:], value.unsqueeze(0)])
        frame.write(name, value)
    return u


def summed(step: Step, name: str, u: Tensor, frame: Frame, numbers: Sequence[Any]) -> Any:
    """A declared sum: given where it had to be made before the stage, else reduced here."""
    rule = step.transform.sums[name]
    if sum_key(step, name) in frame.env:
        return frame.env[sum_key(step, name)]
    value = element(rule, u, step, frame, numbers)
    if rule.over == "tensor":
        return {"sum": value.sum, "mean": value.mean, "max": value.amax}[rule.how]()
    dim = -1 if rule.over == "row" else -2
    return {"sum": value.sum, "mean": value.mean, "max": value.amax}[rule.how](dim=dim, keepdim=True)


def element(rule: Sum, u: Tensor, step: Step, frame: Frame, numbers: Sequence[Any]) -> Tensor:
    """The element function of a step's sum, before the reduction."""
    slots = {n: frame.slots.get(step.prefix + n) for n in step.transform.slots}
    seen = {**frame.env, **slots, **step.hyperparameters(numbers), "u": u}
    return rule.fn(*(seen[a] for a in rule.asks))


def sum_key(step: Step, name: str) -> tuple[str, str, str]:
    return ("sum", step.prefix + step.transform.name, name)
