"""A chain cut into stages, and the loop that runs them over all parameters.

Steps of like kind that follow one another make one stage:

    flat    element rules: any shape, small tensors packed into one, large ones compiled
    sheet   rules that see a matrix: equal shapes stacked and vmapped, large ones looped over
    tree    rules that see everything as one vector
    search  how far to go along the direction of the whole tree

What comes before a sum in a flat stage is its *head*, which is run once for the sum alone and again with the stage.
That reads slots twice, but no update is written to memory and read again, nor kept there until a message has come or
all parameters have met. A sum over the `tree` starts a new stage where its head would itself need sums over tensors.

Parameters that share a chain and a step count form a *lane*; each lane is a generator that yields when it must meet the
others, so lanes of different chains run in lock-step where a sum spans them and need not agree anywhere else.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from . import _sharding as sharding
from ._flat import run_flat, tree_sums
from ._leaf import Leaf
from ._pass import Pass
from ._program import Step, build, priming, resolve, sum_key
from ._sheet import STACK, run_sheet
from ._signals import SIGNALS
from ._slots import Slot, Sum
from ._transform import Chain


@dataclass(frozen=True)
class Stage:
    steps: tuple[Step, ...]
    kind: str
    last: bool
    key: int  # a number of its own, cheap to hash
    rules: tuple[Sum, ...] = ()  # of a head: the sums over its result, which is all that is wanted of it
    asker: Step | None = None  # the step whose sums these are

    @property
    def name(self) -> str:
        return "_".join([s.transform.name for s in self.steps] + ["sums"] * bool(self.rules))

    @functools.cached_property
    def inputs(self) -> set[str]:
        """The inputs it asks for; the last stage writes the parameter."""
        asked = self.asker.sum_inputs if self.asker else set()
        return {i for s in self.steps for i in s.inputs} | asked | ({"param"} if self.last else set())

    @functools.cached_property
    def slots(self) -> dict[str, Slot]:
        """Those of its steps, and of a head what its sums read."""
        found = {name: slot for s in self.steps for name, slot in s.slots.items()}
        return found | (self.asker.sum_slots if self.asker else {})

    @functools.cached_property
    def scalars(self) -> set[str]:
        """What is kept as one number, of a tensor or of the group."""
        return {name for name, slot in self.slots.items() if not slot.axes and slot.kind != "probe"}

    @functools.cached_property
    def shared(self) -> list[str]:
        """What is kept as one number of the group."""
        return [name for name, slot in self.slots.items() if slot.shared]

    @functools.cached_property
    def signals(self) -> tuple[str, ...]:
        """What it wants to be told by the model."""
        return tuple(sorted(name for name in self.inputs if name in SIGNALS))

    @functools.cached_property
    def meetings(self) -> dict[int, Stage]:
        """By the place of a step whose sums over the tree must be known before the stage runs: what makes them."""
        return {i: head(self.steps[:i], s, s.tree_sums) for i, s in enumerate(self.steps) if s.tree_sums}

    @functools.cached_property
    def heads(self) -> dict[int, Stage]:
        """By the place of a step that asks for sums over the tensor: what comes before it."""
        if self.kind != "flat" or self.rules:
            return {}
        return {i: head(self.steps[:i], s, s.tensor_sums) for i, s in enumerate(self.steps) if s.tensor_sums}


_count = itertools.count()


def head(steps: tuple[Step, ...], asker: Step, rules: Mapping[str, Sum]) -> Stage:
    """What makes the sums: the steps before the one that asks for them, unless these look at no update."""
    needed = steps if any("u" in rule.asks for rule in rules.values()) else ()
    return Stage(needed, "flat", False, next(_count), tuple(rules.values()), asker)


@functools.cache
def plan(structure: tuple[Any, ...], primes: bool = False) -> tuple[Stage, ...]:
    """The stages of a structure, made once. ``primes``: those of step 0, which set it up and write no weights."""
    cut: list[tuple[str, list[Step]]] = []
    for step in priming(build(structure)) if primes else build(structure):
        if step.transform.room in ("sense", "oracle"):
            continue  # it has run already: it gave the gradients
        kind = "search" if step.transform.room == "search" else "tree" if step.scope == "tree" else (
            "sheet" if step.sheet else "flat")  # fmt: skip
        met = step.tree_sums and (kind != "flat" or any(s.tensor_sums for s in (cut[-1][1] if cut else ())))
        if not cut or cut[-1][0] != kind or kind in ("tree", "search") or met:
            cut.append((kind, []))
        cut[-1][1].append(step)
    end = None if primes else len(cut) - 1
    return tuple(Stage(tuple(s), k, i == end, next(_count)) for i, (k, s) in enumerate(cut))


@functools.cache
def reaches(structure: tuple[Any, ...], primes: bool = False) -> tuple[tuple[Stage, ...], ...]:
    """The stages in groups: within one, no tensor waits for another."""
    found: list[list[Stage]] = []
    for stage in plan(structure, primes):
        meets = stage.meetings or stage.kind in ("tree", "search")
        if not found or meets or found[-1][-1].kind in ("tree", "search"):
            found.append([])
        found[-1].append(stage)
    return tuple(map(tuple, found))


@dataclass
class Lane:
    """Parameters with one chain at one step count."""

    leaves: list[Leaf]
    structure: tuple[Any, ...]
    numbers: list[Any]
    step: int
    numel: int  # of all its parameters, also in the lane of a few of them
    works: dict[int, Any] = field(default_factory=dict)  # by stage: what its tensors share in this step

    @property
    def stages(self) -> tuple[Stage, ...]:
        return plan(self.structure, self.step == 0)


def make_lane(leaves: list[Leaf], chain: Chain, step: int) -> Lane:
    numbers: list[Any] = []
    structure = resolve(chain, step, numbers)
    return Lane(leaves, structure, numbers, step, sum([leaf.numel for leaf in leaves]))


def make_lanes(leaves: list[Leaf], chain: Chain, begin: Callable[[Chain, list[Leaf]], None]) -> list[Lane]:
    """A lane for each count of steps that parameters of one chain have taken; ``begin`` fills the slots of those that
    have taken none."""
    by_steps: dict[int, list[Leaf]] = {}
    for leaf in leaves:
        by_steps.setdefault(leaf.state["step"], []).append(leaf)
    for taken, members in by_steps.items():
        if taken <= 0:
            begin(chain, members)
    return [make_lane(members, chain, taken + 1) for taken, members in sorted(by_steps.items())]


@dataclass
class Meeting:
    """What a lane yields when it must meet the others."""

    key: tuple[Any, ...]
    step: Step
    values: list[Any]
    lane: Lane


def run_lane(lane: Lane, given: Pass) -> Generator[Meeting, Any, None]:
    us: list[Tensor] = [given.gradients[leaf.name] for leaf in lane.leaves]
    for reach in reaches(lane.structure, lane.step == 0):
        stage, first = reach[0], reach[0].steps[0]
        sums: dict[Any, Any] = {}
        for place, head in stage.meetings.items():
            step, partials = stage.steps[place], tree_sums(head, lane, us, given, sums)
            for key, name, partial in zip(_sum_keys(step), step.tree_sums, partials, strict=True):
                sums[sum_key(step, name)] = yield Meeting(key, step, [partial], lane)
        if stage.kind in ("tree", "search"):
            us = yield Meeting((first.transform, first.prefix, stage.kind), first, us, lane)
        else:
            us = _run_reach(reach, lane, us, given, sums)
    last = lane.stages[-1] if lane.stages else None
    if lane.step == 0:
        return
    if last is None or last.kind in ("tree", "search"):
        for leaf, u in zip(lane.leaves, us, strict=True):
            given.write_param(leaf, lane, given.input("param", leaf, lane) + u)


def _sum_keys(step: Step) -> list[tuple[Any, ...]]:
    return [(step.transform, step.prefix, name) for name in step.tree_sums]


def _run_reach(
    reach: tuple[Stage, ...], lane: Lane, us: list[Tensor], given: Pass, sums: dict[Any, Any]
) -> list[Tensor]:
    """Stages in which no tensor waits for another: a large one goes through all of them before the next one starts, so
    that memory (and cache) is needed for one and not for all."""
    out = list(us)
    for few in _company(reach, lane):
        some = lane if len(few) == len(us) else replace(lane, leaves=[lane.leaves[i] for i in few])
        vs = [us[i] for i in few]
        for stage in reach:
            vs = (run_flat if stage.kind == "flat" else run_sheet)(stage, some, vs, given, sums)
        for i, v in zip(few, vs, strict=True) if not reach[-1].last else ():  # nobody reads the last ones
            out[i] = v
    return out


def _company(reach: tuple[Stage, ...], lane: Lane) -> list[list[int]]:
    """Which leaves go through a reach together: the small ones, which are stacked or packed."""
    everyone = list(range(len(lane.leaves)))
    if (
        len(reach) == 1 or any(stage.shared for stage in reach) or any(leaf.place for leaf in lane.leaves)
    ):  # shards travel in one message
        return [everyone]
    large = [i for i in everyone if lane.leaves[i].numel > STACK]
    small = [i for i in everyone if lane.leaves[i].numel <= STACK]
    return [*([small] if small else []), *([i] for i in large)]


def run(
    lanes: Sequence[Lane], given: Pass, meet: Callable[[Step, str, list[Meeting], Pass], list[Any]]
) -> None:
    """Run every lane to its end. ``meet`` answers tree rules and searches; sums are answered here."""
    waiting: list[tuple[Generator[Meeting, Any, None], Meeting]] = []

    def advance(lane: Generator[Meeting, Any, None], answer: Any) -> None:
        with contextlib.suppress(StopIteration):
            waiting.append((lane, lane.send(answer)))

    for lane in lanes:
        advance(run_lane(lane, given), None)
    while waiting:
        here = _complete(waiting)
        waiting[:], together = [w for w in waiting if w not in here], here
        meetings = [m for _, m in together]
        step, kind = meetings[0].step, meetings[0].key[2]
        if kind in step.tree_sums:
            rule = step.transform.sums[kind]
            total = sharding.reduce([m.values[0][0] for m in meetings], "max" if rule.how == "max" else "sum")
            if rule.how == "mean":
                total = total / sum(m.values[0][1] for m in meetings)
            answers: list[Any] = [total] * len(meetings)
        else:
            answers = meet(step, kind, meetings, given)
        for (lane, _), answer in zip(together, answers, strict=True):
            advance(lane, answer)


def _complete(waiting: list[tuple[Generator[Meeting, Any, None], Meeting]]) -> list[Any]:
    """The lanes of the first meeting at which everyone who will come has arrived."""
    for _, meeting in waiting:
        here = [w for w in waiting if w[1].key == meeting.key]
        absent = [w for w in waiting if w not in here and _will_come(w[1], meeting.key)]
        if not absent:
            return here
    names = ", ".join(sorted({m.step.transform.name for _, m in waiting}))
    raise RuntimeError(
        f"chains of different groups meet in different orders at {names}: put them in the same order"
    )


def _will_come(meeting: Meeting, key: tuple[Any, ...]) -> bool:
    seen = False
    for stage in meeting.lane.stages:
        first = stage.steps[0]
        keys = [key for place in stage.meetings for key in _sum_keys(stage.steps[place])]
        keys += [(first.transform, first.prefix, stage.kind)] if stage.kind in ("tree", "search") else []
        for k in keys:
            if seen and k == key:
                return True
            seen = seen or k == meeting.key
    return False
