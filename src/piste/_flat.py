"""Element stages: any shape, small tensors packed into one, large ones compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from . import _compile, _torch_kernels
from ._flat_coded import run_coded
from ._leaf import Leaf
from ._pass import Pass, cast, finish, numbers, shared_names
from ._program import Frame, run, sum_key, summed

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
    small, large = _split(stage, leaves, work.compiled)
    whole = _completed(stage, lane, us, given)
    out: list[Any] = [None] * len(leaves)
    for pack in small:
        pieces = work.pack([leaves[i] for i in pack], [us[i] for i in pack])
        for i, piece in zip(pack, pieces, strict=True):
            out[i] = piece
    for i in large:
        out[i] = work.alone(leaves[i], us[i], whole.get(i))
    for name in work.shared:
        for leaf in leaves[:1] if leaves[0].inplace else leaves:
            leaf.write(name, work.shared_after[name])
    return out


def _completed(stage: Stage, lane: Lane, us: list[Tensor], given: Pass) -> dict[int, dict[Any, Any]]:
    """Sums over sharded tensors, which no rank can make alone: one message for all of them."""
    first, leaves = stage.steps[0], lane.leaves
    if not first.tensor_sums or all(leaf.place is None for leaf in leaves):
        return {}
    found: dict[int, dict[Any, Any]] = {i: {} for i in range(len(leaves))}
    for name, rule in first.tensor_sums.items():
        for i, (number, count) in enumerate(numbers(rule, lane, us, given)):
            found[i][sum_key(first, name)] = number / count if rule.how == "mean" else number
    return found


@dataclass
class _Work:
    """A flat stage on its way over a lane."""

    stage: Stage
    lane: Lane
    given: Pass
    sums: dict[Any, Any]
    shared: dict[str, Any]
    compiled: bool
    prepared: dict[Any, Any] = field(default_factory=dict)
    shared_after: dict[str, Any] = field(default_factory=dict)
    way: _Way | None = None

    @classmethod
    def start(cls, stage: Stage, lane: Lane, given: Pass, sums: dict[Any, Any]) -> _Work:
        first = lane.leaves[0]
        # every parameter starts from the same value of a shared scalar, which is written once, at the end
        shared = {n: first.read(n).clone() for n in shared_names(stage.steps)}
        compiled = _use_compiler(lane, given) and not _undivided(stage, first)
        return cls(stage, lane, given, sums, shared, compiled)

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

    def _compiled(
        self, env: dict[str, Any], slots: dict[str, Any], u: Tensor, sums: dict[Any, Any]
    ) -> tuple[Frame, Tensor]:
        """As one kernel, which writes the slots and, in the last stage, the parameter itself."""
        tensors: dict[Any, Tensor] = {"u": u} | {k: v for k, v in env.items() if isinstance(v, Tensor)} | sums
        tensors |= {("slot", k): v for k, v in slots.items() if v is not None}
        key = (self.stage.key, u.device, tuple(tensors), tuple((t.dtype, t.dim()) for t in tensors.values()))
        made = _kernels.get(key)
        if made is None:
            made = _kernels[key] = _compile_stage(
                self.stage, list(tensors), list(tensors.values()), list(slots), len(self.lane.numbers)
            )
        if key not in self.prepared:
            self.prepared[key] = made.kernel.prepare([float(self.lane.step), *self.lane.numbers])
        if not made.returned and all(k in ("u", "param", "grad") or isinstance(k, tuple) for k in tensors):
            self.way = _Way(made.kernel, list(tensors), self.prepared[key], u.dtype, u.device)
        results = made.kernel(list(tensors.values()), self.prepared[key])
        frame = Frame(env, slots, set(made.written))
        for name, value in zip(made.returned, results, strict=False):
            frame.write(name, value)
        return frame, env["param"] if self.stage.last else results[-1]

    def pack(self, leaves: list[Leaf], us: list[Tensor]) -> list[Tensor]:
        """Many small tensors as one."""
        env, slots, u = _packed(self.stage, self.lane, us, leaves, self.given)
        frame, u, _ = self.apply(env, slots, u, self.sums, self.compiled)
        _unpack(self.stage, leaves, frame, u, list(self.shared))
        if self.stage.last:
            return us  # nobody reads them
        pieces = u.split([leaf.real(leaf.param).numel() for leaf in leaves])
        return [leaf.unflat(piece) for leaf, piece in zip(leaves, pieces, strict=True)]

    def _coded(self, leaf: Leaf) -> bool:
        """Whether the stage meets something of the parameter that is kept in a code."""
        return bool(leaf.codings) or (leaf.weight is not None and "param" in self.stage.inputs)

    def alone(self, leaf: Leaf, u: Tensor, own: dict[Any, Any] | None = None) -> Tensor:
        """One tensor: flat in memory order for the compiler, as it is without. ``own``: sums over it, if it is
        sharded."""
        if self._coded(leaf) and self.compiled and not (self.shared or self.sums or own):
            done = run_coded(self.stage, self.lane, leaf, u, self.given, self.prepared)
            if done is not None:
                return done
        taken = None if self.way is None or self._coded(leaf) else self.way.take(leaf, u, self.given)
        if taken is not None:
            return taken
        env = self.given.inputs(leaf, self.lane, self.stage.inputs)
        slots = {n: leaf.read(n) for s in self.stage.steps for n in s.slots}
        u = self.given.lift(leaf, u)
        flat = self.compiled and leaf.dense and leaf.inplace and not self._coded(leaf)
        if flat:
            env = {k: leaf.flat(v) if isinstance(v, Tensor) and v.dim() else v for k, v in env.items()}
            slots = {n: leaf.flat(v) if isinstance(v, Tensor) and v.dim() else v for n, v in slots.items()}
            u = leaf.flat(u)
        first = self.stage.steps[0]
        if own is None:
            own = {sum_key(first, name): summed(first, name, u, Frame(env, {})) for name in first.tensor_sums}
        frame, u, written = self.apply(env, slots, u, {**self.sums, **own}, flat)
        if own or self.shared or self.sums:
            self.way = None
        u = leaf.unflat(u) if flat else u
        if self.stage.last and not (written and leaf.param.dtype == u.dtype):
            self.given.write_param(leaf, self.lane, u)
        for name in [] if written else frame.changed:
            if name not in self.shared:
                leaf.write(name, frame.slots[name])
        return u


@dataclass
class _Way:
    """How a stage's kernel was called for one tensor, to call it alike for the next: the Python between two
    kernels would otherwise cost a quarter of the time of a tensor of 30,000 elements."""

    kernel: _compile.Kernel
    names: list[Any]
    prepared: _compile.Prepared
    dtype: torch.dtype
    device: torch.device

    def take(self, leaf: Leaf, u: Tensor, given: Pass) -> Tensor | None:
        """Run it if this tensor is laid out alike; the new update, which the last stage leaves as it was."""
        if not (leaf.plain and leaf.inplace and u.device == self.device and _compile.whole(leaf.numel)):
            return None
        tensors: list[Any] = []
        for name in self.names:
            if name == "u":
                t = u
            elif name == "param":
                t = leaf.param
            elif name == "grad":
                t = given.gradients[leaf.name]
            else:
                t = leaf.stored(name[1])
            if t is None or t.dtype is not self.dtype or not t.is_contiguous() or t.numel() != leaf.numel:
                return None
            tensors.append(t)
        results = self.kernel.run(leaf.numel, tensors, self.prepared)
        return results[0].view(leaf.param.shape) if results else u


def _use_compiler(lane: Lane, given: Pass) -> bool:
    if given.compile is False or any(isinstance(x, Tensor) for x in lane.numbers):
        return False
    if given.compile == "auto" and lane.numel < COMPILE:
        return False
    return _compile.available(lane.leaves[0].param.device.type)


def _undivided(stage: Stage, leaf: Leaf) -> bool:
    """Whether a call must see its whole tensor: it writes a scalar of it, or holds a chain that sums over it."""
    scalars = any(
        slot.axes == "" and not slot.shared and leaf.read(name) is not None
        for s in stage.steps
        for name, slot in s.slots.items()
    )
    return scalars or any(h.transform.sums for s in stage.steps for held in s.held.values() for h in held)


def _split(stage: Stage, leaves: list[Leaf], compiled: bool) -> tuple[list[list[int]], list[int]]:
    """Indices of the leaves: packs of small ones, and the ones run by themselves."""
    own = _undivided(stage, leaves[0]) or stage.steps[0].tensor_sums
    rings = any(slot.ring for s in stage.steps for slot in s.slots.values())
    if own or rings or not leaves[0].inplace or len(leaves) == 1:
        return [], list(range(len(leaves)))
    packs: dict[Any, list[list[int]]] = {}
    sizes: dict[Any, int] = {}
    large: list[int] = []
    for i, leaf in enumerate(leaves):
        if (
            leaf.numel > PACK
            or not leaf.dense
            or leaf.kind.coded
            or (compiled and _compile.whole(leaf.numel))
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


def _packed(
    stage: Stage, lane: Lane, us: list[Tensor], leaves: list[Leaf], given: Pass
) -> tuple[dict[str, Any], dict[str, Any], Tensor]:
    """One flat tensor of many: the same element rule, one call."""

    plain = all(leaf.plain for leaf in leaves)

    def cat(tensors: list[Tensor]) -> Tensor:
        if plain:
            return _flatten_dense_tensors(tensors)
        return torch.cat([leaf.flat(t) for leaf, t in zip(leaves, tensors, strict=True)])

    env: dict[str, Any] = {}
    for name in stage.inputs:
        one = given.input(name, leaves[0], lane)
        if isinstance(one, Tensor) and name != "loss":
            one = cat([one, *(given.input(name, leaf, lane) for leaf in leaves[1:])])
        env[name] = one
    names = [n for s in stage.steps for n, slot in s.slots.items() if not slot.shared]
    slots: dict[str, Any] = {}
    for name in names:
        stored = [leaf.read(name) for leaf in leaves]
        slots[name] = None if stored[0] is None else cat(stored)
    return env, slots, cat([given.lift(leaf, u) for leaf, u in zip(leaves, us, strict=True)])


def _unpack(stage: Stage, leaves: list[Leaf], frame: Frame, u: Tensor, shared: list[str]) -> None:
    sizes = [leaf.real(leaf.param).numel() for leaf in leaves]

    plain = all(leaf.plain for leaf in leaves)

    def write(whole: Tensor, targets: list[Tensor]) -> None:
        if plain:
            torch._foreach_copy_(targets, _unflatten_dense_tensors(whole, targets))
            return
        pieces = [leaf.unflat(p) for leaf, p in zip(leaves, whole.split(sizes), strict=True)]
        torch._foreach_copy_(targets, pieces)

    for name in frame.changed:
        if name not in shared:
            write(frame.slots[name], [leaf.stored(name) for leaf in leaves])
    if stage.last:
        write(u, [leaf.real(leaf.param.detach()) for leaf in leaves])


@dataclass
class _Compiled:
    """A kernel of a stage, the slots it writes in place and the shared scalars it returns."""

    kernel: Any = None
    written: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)


_kernels: dict[Any, _Compiled] = {}


def _compile_stage(
    stage: Stage, names: list[Any], tensors: list[Tensor], slots: list[str], numbers: int
) -> _Compiled:
    made = _Compiled()
    shared = set(shared_names(stage.steps))

    def pure(args: Sequence[Tensor], values: Sequence[Any]) -> tuple[dict[int, Tensor], list[Tensor]]:
        given = dict(zip(names, args, strict=True))
        frame = Frame({**given, "step": values[0]}, {k: given.get(("slot", k)) for k in slots})
        result = finish(stage, run(stage.steps, given["u"], frame, values[1:]), given)
        made.written = sorted(frame.changed - shared)
        made.returned = sorted(frame.changed & shared)
        writes = {names.index(("slot", k)): frame.slots[k] for k in made.written}
        results = [frame.slots[k] for k in made.returned]
        if stage.last:
            writes[names.index("param")] = result
        else:
            results.append(result)
        return writes, results

    made.kernel = _compile.Kernel("_".join(s.transform.name for s in stage.steps), pure, tensors, numbers + 1)
    return made
