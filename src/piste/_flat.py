"""Element stages: any shape, small tensors packed into one, large ones compiled."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from . import _compile, _torch_kernels
from ._flat_coded import run_coded, sum_coded
from ._kernels import Compiled, kernel
from ._leaf import Leaf
from ._packs import packed, unpack
from ._pass import Pass, cast, finish
from ._program import Frame, run, sum_key
from ._sums import add_up, complete, count, join
from ._way import Way

if TYPE_CHECKING:
    from ._plan import Lane, Stage

# tensors of fewer elements are packed: below, a call costs more than copying the tensor in and out
PACK = 1 << 14
PACKED = 1 << 21  # elements in one pack
COMPILE = 1 << 22  # elements from which `compile="auto"` compiles: below, seconds of compiling never pay


def run_flat(stage: Stage, lane: Lane, us: list[Tensor], given: Pass, sums: dict[Any, Any]) -> list[Tensor]:
    """Element rules over a lane. The last stage writes the parameters; the others return the new updates."""
    leaves = lane.leaves
    if given.fused and stage.last and len(lane.stages) == 1 and _torch_kernels.run(stage, lane, us):
        return us
    work = lane.works.get(stage.key)
    if work is None:
        work = lane.works[stage.key] = _Work.start(stage, lane, given, sums)
    apart = {i for i, leaf in enumerate(leaves) if given.told(leaf, stage.signals)} if stage.signals else ()
    small, large = _split(stage, leaves, work.compiled, apart)
    sharded = stage.heads and any(leaf.place is not None for leaf in leaves)
    whole = work.tensor_sums(leaves, us) if sharded else [None] * len(leaves)  # one message for all of them
    out: list[Any] = [None] * len(leaves)
    for pack in small:
        pieces = work.pack([leaves[i] for i in pack], [us[i] for i in pack])
        for i, piece in zip(pack, pieces, strict=True):
            out[i] = piece
    ready = work.ready([leaves[i] for i in large], [us[i] for i in large])
    for i, tensors in zip(large, ready, strict=True):
        out[i] = work.alone(leaves[i], us[i], whole[i], tensors)
    for name in work.shared:
        for leaf in leaves[:1] if leaves[0].inplace else leaves:
            leaf.write(name, work.shared_after[name])
    return out


def tree_sums(
    head: Stage, lane: Lane, us: list[Tensor], given: Pass, sums: dict[Any, Any]
) -> list[tuple[Tensor, int]]:
    """This lane's part of each sum over the tree, and how many numbers it covers."""
    work = _Work.start(head, lane, given, sums)
    alike: dict[Any, list[int]] = {}  # parameters that are cut up alike are completed together
    for i, leaf in enumerate(lane.leaves):
        alike.setdefault(None if leaf.place is None else (leaf.place.mesh, leaf.place.cut), []).append(i)
    here = []
    for members in alike.values():
        leaves = [lane.leaves[i] for i in members]
        small, large = _split(head, leaves, work.compiled)
        parts = [work.pack_sums([leaves[i] for i in few], [us[members[i]] for i in few]) for few in small]
        ready = work.ready([leaves[i] for i in large], [us[members[i]] for i in large])
        parts += [
            work.sums_here(leaves[i], us[members[i]], {}, tensors)
            for i, tensors in zip(large, ready, strict=True)
        ]
        here.append(join(head.rules, parts))
    whole = complete(head.rules, here, [lane.leaves[members[0]] for members in alike.values()])
    means = any(rule.how == "mean" for rule in head.rules)
    covered = sum(count(leaf) for leaf in lane.leaves) if means else 0
    return [(number, covered) for number in join(head.rules, whole)]


class _Seen(NamedTuple):
    """A tensor as a stage sees it: flat, for the compiler, or as it is."""

    env: dict[str, Any]
    slots: dict[str, Any]
    u: Tensor
    flat: bool


@dataclass
class _Work:
    """A flat stage on its way over a lane."""

    stage: Stage
    lane: Lane
    given: Pass
    sums: dict[Any, Any]
    shared: dict[str, Any]
    compiled: bool
    heads: dict[int, _Work] = field(default_factory=dict)
    prepared: dict[Any, Any] = field(default_factory=dict)
    shared_after: dict[str, Any] = field(default_factory=dict)
    way: Way | None = None
    returned: list[str] = field(default_factory=list)  # the scalars that its kernel gives

    @classmethod
    def start(cls, stage: Stage, lane: Lane, given: Pass, sums: dict[Any, Any]) -> _Work:
        first = lane.leaves[0]
        # every parameter starts from the same value of a shared scalar, which is written once, at the end
        shared = {n: first.read(n).clone() for n in stage.shared}
        compiled = _use_compiler(lane, given) and not _undivided(stage, first)
        heads = {place: cls.start(head, lane, given, sums) for place, head in stage.heads.items()}
        return cls(stage, lane, given, sums, shared, compiled, heads)

    @property
    def codes(self) -> bool:
        """Whether the kernels of codes can run it: they return no scalars."""
        return self.compiled and not self.stage.scalars

    def apply(
        self, env: dict[str, Any], slots: dict[str, Any], u: Tensor, sums: dict[Any, Any], compiled: bool
    ) -> tuple[Frame, Tensor, bool]:
        """Run the stage on one (possibly packed) tensor; in the last stage the result is the new parameter.

        The bool says whether the slots and the parameter it was given were written in place.
        """
        slots = {**slots, **self.shared}
        if compiled:
            frame, u = self._compiled(env, slots, u, sums)
        else:
            frame = Frame({**env, **sums}, slots)
            u = finish(self.stage, run(self.stage.steps, u, frame, cast(self.lane.numbers, u)), env)
        self.shared_after = {n: frame.slots[n] for n in self.shared}
        return frame, u, compiled

    def _kernel(
        self, env: dict[str, Any], slots: dict[str, Any], u: Tensor, sums: dict[Any, Any]
    ) -> tuple[dict[Any, Tensor], Compiled, _compile.Prepared]:
        """The kernel for these tensors, what it is given, and today's numbers."""
        tensors: dict[Any, Tensor] = {"u": u} | {k: v for k, v in env.items() if isinstance(v, Tensor)} | sums
        tensors |= {("slot", k): v for k, v in slots.items() if v is not None}
        key, made = kernel(self.stage, tensors, list(slots), len(self.lane.numbers))
        if key not in self.prepared:
            self.prepared[key] = made.kernel.prepare([float(self.lane.step), *self.lane.numbers])
        return tensors, made, self.prepared[key]

    def _compiled(
        self, env: dict[str, Any], slots: dict[str, Any], u: Tensor, sums: dict[Any, Any]
    ) -> tuple[Frame, Tensor]:
        """As one kernel, which writes the slots and, in the last stage, the parameter itself."""
        tensors, made, prepared = self._kernel(env, slots, u, sums)
        self.way = Way.of(made.kernel, tensors, prepared, slots, self.shared)
        self.returned = made.returned
        results = made.kernel(list(tensors.values()), prepared)
        frame = Frame(env, slots, set(made.written))
        for name, value in zip(made.returned, results, strict=False):
            frame.write(name, value)
        return frame, env["param"] if self.stage.last else results[-1]

    def pack(self, leaves: list[Leaf], us: list[Tensor]) -> list[Tensor]:
        """Many small tensors as one."""
        env, slots, u = packed(self.stage, self.lane, us, leaves, self.given)
        frame, u, _ = self.apply(env, slots, u, self.sums, self.compiled)
        unpack(self.stage, leaves, frame, u, list(self.shared))
        if self.stage.last:
            return us  # nobody reads them
        pieces = u.split([leaf.real(leaf.param).numel() for leaf in leaves])
        return [leaf.unflat(piece) for leaf, piece in zip(leaves, pieces, strict=True)]

    def ready(self, leaves: list[Leaf], us: list[Tensor]) -> Iterator[list[Tensor] | None]:
        """For each tensor what the kernel is to be given, gathered for all once the first has shown the way: between
        two kernels Python finds that its memory has left the caches. None: still to be found out."""
        for i in range(len(leaves)):
            if i == 1 and not self.heads:
                yield from [
                    self._gather(leaf, u, self.sums) for leaf, u in zip(leaves[1:], us[1:], strict=True)
                ]
                return
            yield None

    def _gather(self, leaf: Leaf, u: Tensor, sums: dict[Any, Tensor]) -> list[Tensor] | None:
        if self.way is None or self._coded(leaf) or self.given.told(leaf, self.stage.signals):
            return None
        return self.way.gather(leaf, u, self.given, sums)

    def _by_way(
        self, leaf: Leaf, u: Tensor, sums: dict[Any, Tensor], ready: list[Tensor] | None
    ) -> list[Tensor] | None:
        """What the kernel returns, if it can be called as it was for another tensor."""
        ready = ready or self._gather(leaf, u, sums)
        return None if ready is None or self.way is None else self.way.take(leaf, ready)

    def _coded(self, leaf: Leaf) -> bool:
        """Whether the stage meets something of the parameter that is kept in a code."""
        if not leaf.codings and leaf.weight is None:
            return False
        return any(name in leaf.codings for name in self.stage.slots) or (
            leaf.weight is not None and "param" in self.stage.inputs
        )

    def _see(self, leaf: Leaf, u: Tensor) -> _Seen:
        env = self.given.inputs(leaf, self.lane, self.stage.inputs)
        slots = {n: leaf.read(n) for n in self.stage.slots}
        u = self.given.lift(leaf, u)
        if not (self.compiled and leaf.dense and leaf.inplace and not self._coded(leaf)):
            return _Seen(env, slots, u, False)
        env = {k: leaf.flat(v) if isinstance(v, Tensor) and v.dim() else v for k, v in env.items()}
        slots = {n: leaf.flat(v) if isinstance(v, Tensor) and v.dim() else v for n, v in slots.items()}
        return _Seen(env, slots, leaf.flat(u), True)

    def alone(
        self, leaf: Leaf, u: Tensor, own: dict[Any, Any] | None = None, ready: list[Tensor] | None = None
    ) -> Tensor:
        """One tensor: flat in memory order for the compiler, as it is without. ``own``: sums over it, if they are
        known; ``ready``: what the kernel is to be given, likewise."""
        if own is None:
            own = self.tensor_sums([leaf], [u])[0] if self.compiled else {}
        sums, coded = {**self.sums, **own}, self._coded(leaf)
        if coded and self.codes:
            done = run_coded(self.stage, self.lane, leaf, u, self.given, self.prepared, sums)
            if done is not None:
                return done
        taken = self._by_way(leaf, u, sums, ready)
        if taken is not None:
            for name, value in zip(self.returned, taken, strict=False):
                if name in self.shared:
                    self.shared_after[name] = value
                else:
                    leaf.write(name, value)
            return u if self.stage.last else taken[-1].view(leaf.param.shape)
        env, slots, u, flat = self._see(leaf, u)
        frame, u, written = self.apply(env, slots, u, sums, flat)
        u = leaf.unflat(u) if flat else u
        if self.stage.last and not (written and leaf.param.dtype == u.dtype):
            self.given.write_param(leaf, self.lane, u)
        for name in frame.changed & self.stage.scalars if written else frame.changed:
            if name not in self.shared:
                leaf.write(name, frame.slots[name])
        return u

    # sums over tensors: what the rules of a head come to -------------------------------------------------------

    def tensor_sums(self, leaves: list[Leaf], us: list[Tensor]) -> list[dict[Any, Any]]:
        """By parameter: every sum over a tensor that the stage asks for."""
        known: list[dict[Any, Any]] = [{} for _ in leaves]
        for place, head in self.heads.items():
            step, rules = self.stage.steps[place], head.stage.rules
            here = [head.sums_here(*each) for each in zip(leaves, us, known, strict=True)]
            for leaf, numbers, mine in zip(leaves, complete(rules, here, leaves), known, strict=True):
                for (name, rule), number in zip(step.tensor_sums.items(), numbers, strict=True):
                    mine[sum_key(step, name)] = number / count(leaf) if rule.how == "mean" else number
        return known

    def sums_here(
        self, leaf: Leaf, u: Tensor, known: dict[Any, Any], ready: list[Tensor] | None = None
    ) -> list[Tensor]:
        """A head's sums over the part of a tensor that lives here."""
        sums = {**self.sums, **known}
        if self._coded(leaf) and self.codes:
            done = sum_coded(self.stage, self.lane, leaf, u, self.given, self.prepared, sums)
            if done is not None:
                return done
        taken = self._by_way(leaf, u, sums, ready)
        return self._sums(*self._see(leaf, u), sums) if taken is None else taken

    def pack_sums(self, leaves: list[Leaf], us: list[Tensor]) -> list[Tensor]:
        """A head's sums over many small tensors."""
        return self._sums(*packed(self.stage, self.lane, us, leaves, self.given), self.compiled, self.sums)

    def _sums(
        self, env: dict[str, Any], slots: dict[str, Any], u: Tensor, flat: bool, sums: dict[Any, Any]
    ) -> list[Tensor]:
        slots, rules = {**slots, **self.shared}, self.stage.rules
        if flat:
            tensors, made, prepared = self._kernel(env, slots, u, sums)
            self.way = Way.of(made.kernel, tensors, prepared, slots, self.shared)
            return join(rules, made.kernel.parts(list(tensors.values()), prepared))
        frame, numbers = Frame({**env, **sums}, slots), cast(self.lane.numbers, u)
        return add_up(self.stage, run(self.stage.steps, u, frame, numbers), frame, numbers)


def _use_compiler(lane: Lane, given: Pass) -> bool:
    if given.compile is False or any(isinstance(x, Tensor) for x in lane.numbers):
        return False
    if given.compile == "auto" and lane.numel < COMPILE:
        return False
    return _compile.available(lane.leaves[0].param.device.type)


def _undivided(stage: Stage, leaf: Leaf) -> bool:
    """Whether a call must see its whole tensor: somebody looks at it, or it holds a chain that sums over it."""
    probed = any(s.kind == "probe" and leaf.read(name) is not None for name, s in stage.slots.items())
    return probed or any(h.transform.sums for s in stage.steps for held in s.held.values() for h in held)


def _split(
    stage: Stage, leaves: list[Leaf], compiled: bool, apart: Collection[int] = ()
) -> tuple[list[list[int]], list[int]]:
    """Indices of the leaves: packs of small ones, and the ones run by themselves (those ``apart`` among them)."""
    numbers = len(stage.scalars) > len(stage.shared)  # each tensor has its own
    own = _undivided(stage, leaves[0]) or stage.heads or numbers
    rings = any(slot.ring for slot in stage.slots.values())
    if own or rings or not leaves[0].inplace or len(leaves) == 1:
        return [], list(range(len(leaves)))
    packs: dict[Any, list[list[int]]] = {}
    sizes: dict[Any, int] = {}
    large: list[int] = []
    for i, leaf in enumerate(leaves):
        if (
            leaf.numel > PACK
            or i in apart
            or not leaf.dense
            or leaf.kind.coded
            or (compiled and not stage.rules and _compile.whole(leaf.numel))
        ):
            large.append(i)
            continue
        key = (leaf.dtype, leaf.param.device)
        if key not in packs or sizes[key] + leaf.numel > PACKED:
            packs.setdefault(key, []).append([])
            sizes[key] = 0
        packs[key][-1].append(i)
        sizes[key] += leaf.numel
    small = [p for group in packs.values() for p in group]
    large += [p[0] for p in small if len(p) == 1]
    return [p for p in small if len(p) > 1], large
