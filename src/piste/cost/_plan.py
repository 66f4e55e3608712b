"""What each rank of a mesh holds, does and sends: the cost model, in bytes and flops."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import torch

from .._owners import matrix_rules
from .._storage import plain
from ._mesh import Mesh, Rank
from ._owners import deal
from ._parameters import Parameter, Stage, parameters, state_here, weight_bytes
from ._work import NOT_TENSORS

if TYPE_CHECKING:
    from .._optimizer import Optimizer


@dataclass(frozen=True)
class Cost:
    """Of one rank: bytes it holds, and what it does and sends in one step (refreshes averaged)."""

    weights: int = 0
    gradients: int = 0
    state: Mapping[str, int] = field(default_factory=dict)  # by slot
    flops: float = 0.0  # of matrix products and factorizations
    moved: float = 0.0  # bytes read and written: each stage its tensors once
    sent: float = 0.0  # bytes, by the optimizer
    model: float = 0.0  # bytes, by FSDP for the weights and gradients

    @property
    def state_bytes(self) -> int:
        return sum(self.state.values())

    def __add__(self, other: Cost) -> Cost:
        slots = {k: self.state.get(k, 0) + other.state.get(k, 0) for k in {**self.state, **other.state}}
        rest = {
            f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "state"
        }
        return Cost(state=slots, **rest)

    def __mul__(self, count: int) -> Cost:
        rest = {f.name: getattr(self, f.name) * count for f in fields(self) if f.name != "state"}
        return Cost(state={k: v * count for k, v in self.state.items()}, **rest)


class Plan:
    """An optimizer on a mesh. ``at(rank)`` is one rank's cost, ``largest`` the largest over all ranks, line by line."""

    def __init__(self, mesh: Mesh, found: list[Parameter], shared: Mapping[str, int]) -> None:
        self.mesh, self.parameters, self.shared = mesh, found, shared
        self._kinds = Counter(p.alike for p in found)
        self._one = {p.alike: p for p in found}
        self._parts: dict[Any, Cost] = {}
        self._whole: dict[Any, Cost] = {}
        self._owners: dict[Any, Cost] = {}
        self._sums: dict[Any, Cost] = {}
        self._numbers = _numbers(found)
        dealt = deal(found)
        self._moving = {p.alike for p, _ in dealt}
        self.owned: dict[Rank, list[Parameter]] = {}
        for p, r in dealt:
            for rank in self._copies(p, r):
                self.owned.setdefault(rank, []).append(p)

    def _copies(self, p: Parameter, r: int) -> list[Rank]:
        """The ranks that own a parameter: one along the axis that cuts it, for each along the other."""
        if p.cut.cut == ("dp",):
            return [(r, other) for other in range(self.mesh.tp)]
        return [(other, r) for other in range(self.mesh.dp)]

    def at(self, rank: Rank) -> Cost:
        """One rank's cost; ``rank``: its coordinates along dp and tp."""
        return sum((self._owner(p, rank) for p in self.owned.get(rank, [])), self._everyone(rank))

    @property
    def largest(self) -> Cost:
        """The largest over all ranks of every line (of state: at the rank that has the most of it)."""
        costs = [self.at(rank) for rank in self.mesh.ranks]
        rest = {f.name: max(getattr(c, f.name) for c in costs) for f in fields(Cost) if f.name != "state"}
        return Cost(state=max(costs, key=lambda c: c.state_bytes).state, **rest)

    @property
    def total(self) -> Cost:
        """Of all ranks of one copy together."""
        return sum(map(self.at, self.mesh.ranks), Cost())

    @property
    def travellers(self) -> tuple[int, int]:
        """How many parameters have an owner, and how many are gathered by all."""
        seen = [p for p in self.parameters if p.cut.cut and any(stage.kind == "sheet" for stage in p.stages)]
        moving = sum(p.alike in self._moving for p in seen)
        return moving, len(seen) - moving

    def roles(self) -> dict[str, tuple[int, int, Cost]]:
        """By role, of the whole model in one place: how many parameters and numbers, and the bytes they take."""
        found: dict[str, tuple[int, int, Cost]] = {}
        for p in self.parameters:
            role = p.leaf.role or ("hidden" if len(p.leaf.shape) > 1 else "vector")
            count, numel, cost = found.get(role, (0, 0, Cost()))
            if p.alike not in self._whole:
                self._whole[p.alike] = _held(p, p.whole())
            found[role] = count + 1, numel + p.numel, cost + self._whole[p.alike]
        return found

    def _owner(self, p: Parameter, rank: Rank) -> Cost:
        key = p.alike, p.cut.part(rank)
        if key not in self._owners:
            self._owners[key] = _owner(p, rank)
        return self._owners[key]

    def _everyone(self, rank: Rank) -> Cost:
        """What a rank has of every parameter, as no owner."""
        parts = tuple(p.cut.part(rank) for p in self._one.values())
        if parts not in self._sums:
            total = Cost(state=self.shared, sent=self._numbers)
            for (key, count), part in zip(self._kinds.items(), parts, strict=True):
                if (key, part) not in self._parts:
                    self._parts[key, part] = _part(self._one[key], rank, key in self._moving)
                total = total + self._parts[key, part] * count
            self._sums[parts] = total
        return self._sums[parts]


def _numbers(found: Iterable[Parameter]) -> float:
    """Bytes of the sums, reduced along every axis that cuts what they go over: of a tensor one number each, of the tree
    one number for all that is cut alike in a group."""
    sent, of_tree = 0.0, set()
    for p in found:
        way = p.leaf.dtype.itemsize * sum(around(getattr(p.cut.mesh, axis)) for axis in p.cut.cut)
        stages = [stage.work.stage for stage in p.stages]
        sent += way * sum(len(head.rules) for stage in stages for head in stage.heads.values())
        if (p.group, p.cut.cut) not in of_tree:
            of_tree.add((p.group, p.cut.cut))
            sent += way * sum(len(head.rules) for stage in stages for head in stage.meetings.values())
    return sent


def around(ranks: int) -> float:
    """How many times its size a rank sends of what is reduced for all: once round a ring for the sum, once for all to
    have it."""
    return 2 * (ranks - 1) / ranks


def _held(p: Parameter, leaf: Any) -> Cost:
    """Bytes of a parameter, its gradient and its state."""
    weight = leaf.numel * leaf.param.element_size()
    return Cost(weight, weight if p.trained else 0, state_here(p, leaf))


def _part(p: Parameter, rank: Rank, moving: bool) -> Cost:
    """What lives at a rank of one parameter and what happens to it there, without what its owner adds (``moving``: it
    has one)."""
    leaf = p.at(rank)
    held = _held(p, leaf)
    moved = flops = sent = 0.0
    for i, stage in enumerate(p.stages):
        sheet = stage.kind == "sheet"
        if moving and sheet:  # sent to its owner; what stays there is taken off later
            sent += _tensors(stage) * leaf.numel * leaf.dtype.itemsize
            continue
        gathered = sheet and bool(p.cut.cut)
        seen = p.whole() if gathered else leaf
        flops += stage.flops if sheet else 0.0
        moved += _moved(p, stage, seen, i == 0, state_here(p, seen))
        sent += _gathered(p, stage) if gathered else 0.0
    away = _away(p) if moving else set()
    state = {k: v for k, v in held.state.items() if k not in away}
    return Cost(held.weights, held.gradients, state, flops, moved, sent, _model(p, leaf))


def _owner(p: Parameter, rank: Rank) -> Cost:
    """What the owner of a parameter adds: the slots of its matrix rules, their work, and the results sent back."""
    whole, here = p.whole(), math.prod(p.cut.part(rank))
    state = {k: v for k, v in state_here(p, whole).items() if k in _away(p)}
    flops = moved = sent = 0.0
    for i, stage in enumerate(p.stages):
        if stage.kind == "sheet":
            flops += stage.flops
            moved += _moved(p, stage, whole, i == 0, state)
            stays = (1 + _tensors(stage)) * here  # its own part is neither sent to it nor back
            sent += (whole.numel - stays) * whole.dtype.itemsize
    return Cost(state=state, flops=flops, moved=moved, sent=sent)


def _away(p: Parameter) -> set[str]:
    """The slots that live at the owner."""
    return {name for name, _, _ in matrix_rules(p.chain).slots()}


def _tensors(stage: Stage) -> int:
    """How many tensors a stage must see whole: the update, and the inputs it asks for."""
    return 1 + len(stage.work.inputs)


def _moved(p: Parameter, stage: Stage, leaf: Any, first: bool, state: Mapping[str, int]) -> float:
    """Bytes that a stage reads and writes of what it sees of one parameter, each tensor once; what a head sees is read
    once more."""
    work, plain_size, wide = (
        stage.work,
        leaf.numel * leaf.param.element_size(),
        leaf.numel * leaf.dtype.itemsize,
    )
    weight = weight_bytes(leaf, state)
    sizes = {"u": plain_size if first else wide, "param": weight}

    def read(part: Any, update: bool = True) -> float:
        seen = {i for i in part.inputs if i not in NOT_TENSORS} | ({"u"} if update else set())
        seen -= {"grad"} if first and update else set()  # the first update is the gradient
        slots = part.slots.keys() & work.reads.keys()
        return sum(sizes.get(i, plain_size) for i in seen) + sum(
            state.get(n, 0) * work.reads[n] for n in slots
        )

    heads = sum(read(h, bool(h.steps) or any("u" in rule.asks for rule in h.rules)) for h in work.heads)
    written = sum(state.get(n, 0) * often for n, often in work.writes.items())
    return read(work.stage) + heads + written + (weight if work.stage.last else wide)


def _gathered(p: Parameter, stage: Stage) -> float:
    """Bytes of a rank's parts sent to all others: of the update, of what the stage asks for, of the slots cut alike."""
    slots = [s for step in stage.work.stage.steps for n, s in step.slots.items()
             if "m n" in s.axes and n in stage.work.reads]  # fmt: skip
    return (_tensors(stage) + len(slots)) * _to_all(p, p.leaf.dtype.itemsize)


def _to_all(p: Parameter, size: int) -> float:
    """Bytes of a rank's part, in the length of the first rank's, sent to all ranks among which the tensor is cut."""
    return math.prod(p.cut.part((0, 0))) * size * (math.prod(getattr(p.cut.mesh, a) for a in p.cut.cut) - 1)


def _model(p: Parameter, leaf: Any) -> float:
    """Bytes that FSDP sends of one parameter: its weight for the forward and for the backward pass, and the gradient
    reduced to its shard, then over the copies."""
    mesh, size = p.cut.mesh, leaf.param.element_size()
    sharded = "dp" in p.cut.cut
    once = math.prod(p.cut.part((0, 0))) * size * (mesh.dp - 1) if sharded else 0
    copies = around(mesh.replicate * (1 if sharded else mesh.dp)) if p.trained else 0.0
    return once * (3 if p.trained else 2) + copies * leaf.numel * size


def plan(optimizer: Optimizer, mesh: Mesh | str, cuts: Mapping[str, int | None] | None = None) -> Plan:
    """What each rank of a mesh would hold, do and send, from declarations alone.

    ``optimizer``: of the whole model (made on the meta device it takes no memory); ``mesh``: a :class:`Mesh` or
    ``"dp=64,tp=8"``; ``cuts``: name pattern -> the axis that tensor parallelism cuts, or None. Errors (ValueError) name
    the axis, the size or the pattern.
    """
    mesh = Mesh.parse(mesh) if isinstance(mesh, str) else mesh
    shared: Counter[str] = Counter()
    for chain, leaves in zip(optimizer.chains(), optimizer.leaves(), strict=True):
        for name, slot, _ in chain.slots() if leaves else ():
            if slot.shared and slot.kind != "probe":
                shared[name] += plain.bytes(slot, 1, torch.float32)
    return Plan(mesh, parameters(optimizer, mesh, cuts), shared)
