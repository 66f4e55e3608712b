"""Running one stage over the parameters of a lane: packed, compiled, stacked or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _compile, _torch_kernels
from . import _sharding as sharding
from ._leaf import Leaf, arithmetic
from ._noise import normal, stream
from ._program import Frame, Step, run
from ._storage import compute_dtype

if TYPE_CHECKING:
    from ._plan import Lane, Stage

PACK = (
    1 << 14
)  # tensors of fewer elements are packed: below, a call costs more than copying the tensor in and out
PACKED = 1 << 21  # elements in one pack
STACK = 1 << 18  # matrices of fewer elements are stacked; larger ones would only copy their state
COMPILE = 1 << 22  # elements from which `compile="auto"` compiles: below, seconds of compiling never pay


@dataclass
class Pass:
    """What one step hands to its stages."""

    gradients: dict[str, Tensor]
    extras: dict[str, Any] = field(default_factory=dict)  # "loss", and by name of input: {leaf name: tensor}
    compile: bool | str = False
    seed: int = 0
    fused: bool = False

    def lift(self, leaf: Leaf, tensor: Tensor) -> Tensor:
        """In the arithmetic's dtype; complex as pairs of reals."""
        return leaf.real(tensor).to(arithmetic(leaf))

    def inputs(self, leaf: Leaf, lane: Lane, names: Sequence[str] | set[str]) -> dict[str, Any]:
        """The inputs a rule asks for, of one parameter."""
        env: dict[str, Any] = {}
        for name in names:
            if name == "param":
                env[name] = self.lift(
                    leaf, sharding.local(leaf.param.detach() if leaf.inplace else leaf.param)
                )
            elif name == "grad":
                env[name] = self.lift(leaf, self.gradients[leaf.name])
            elif name == "step":
                env[name] = lane.step
            elif name == "noise":
                like = leaf.real(leaf.param.detach()).to(arithmetic(leaf))
                offset = sharding.global_offset(like)
                env[name] = leaf.unflat(
                    normal(leaf.flat(like), stream(self.seed, leaf.name, lane.step), offset)
                )
            elif name == "loss":
                env[name] = self.extras.get("loss")
            elif name in self.extras:
                env[name] = self.lift(leaf, self.extras[name][leaf.name])
        return env


def _shared_names(steps: Sequence[Step]) -> list[str]:
    return [name for s in steps for name, slot in s.slots.items() if slot.shared]


# flat stages ------------------------------------------------------------------------------------------------------


def run_flat(stage: Stage, lane: Lane, us: list[Tensor], given: Pass, sums: dict[Any, Any]) -> list[Tensor]:
    """Element rules over a lane. The last stage writes the parameters; the others return the new updates."""
    leaves = lane.leaves
    if given.fused and stage.last and len(lane.stages) == 1 and _torch_kernels.run(stage, lane, us):
        return us
    shared_names = _shared_names(stage.steps)
    shared = {
        n: leaves[0].read(n).clone() for n in shared_names
    }  # every parameter starts from the same value
    small, large = _split(stage, lane, given)
    out: list[Any] = [None] * len(leaves)
    compiled = _use_compiler(leaves, lane, given)
    prepared: dict[Any, Any] = {}
    for pack in small:
        env, slots, u = _packed(stage, lane, [us[i] for i in pack], [leaves[i] for i in pack], given)
        frame, u, _ = _apply(stage, lane, env, {**slots, **shared}, u, sums, compiled, prepared)
        _unpack(stage, [leaves[i] for i in pack], frame, u, shared_names)
        if not stage.last:
            sizes = [leaves[i].real(leaves[i].param).numel() for i in pack]
            for i, piece in zip(pack, u.split(sizes), strict=True):
                out[i] = leaves[i].unflat(piece)
        _keep_shared(frame, leaves, shared_names, pack[-1] == len(leaves) - 1 and not large)
    for i in large:
        leaf = leaves[i]
        flat = compiled and leaf.dense and leaf.inplace
        env = given.inputs(leaf, lane, _inputs(stage))
        slots = {n: leaf.read(n) for s in stage.steps for n in s.slots}
        slots.update(shared)
        u = given.lift(leaf, us[i])
        if flat:
            env = {k: leaf.flat(v) if isinstance(v, Tensor) and v.dim() else v for k, v in env.items()}
            slots = {n: leaf.flat(v) if isinstance(v, Tensor) and v.dim() else v for n, v in slots.items()}
            u = leaf.flat(u)
        frame, u, written = _apply(stage, lane, env, slots, u, sums, flat, prepared)
        u = leaf.unflat(u) if flat else u
        if stage.last and not (written and leaf.param.dtype == u.dtype):
            leaf.write_param(u)
        for name in frame.changed:
            if name not in shared_names and not written:
                leaf.write(name, frame.slots[name])
        out[i] = u
        _keep_shared(frame, leaves, shared_names, i == large[-1])
    return out


def _inputs(stage: Stage) -> set[str]:
    return {i for s in stage.steps for i in s.inputs} | ({"param"} if stage.last else set())


def _use_compiler(leaves: list[Leaf], lane: Lane, given: Pass) -> bool:
    if given.compile is False or any(isinstance(x, Tensor) for x in lane.numbers):
        return False
    if given.compile == "auto" and sum(leaf.numel for leaf in leaves) < COMPILE:
        return False
    return _compile.available(leaves[0].param.device.type)


def _split(stage: Stage, lane: Lane, given: Pass) -> tuple[list[list[int]], list[int]]:
    """Indices of the leaves: packs of small ones, and the ones run by themselves."""
    leaves = lane.leaves
    own_scalar = any(
        slot.axes == "" and not slot.shared and leaves[0].read(name) is not None
        for s in stage.steps
        for name, slot in s.slots.items()
    )
    own_sum = any(r.over == "tensor" for s in stage.steps for r in s.transform.sums.values())
    tensor_sums = own_sum or any(
        h.transform.sums for s in stage.steps for held in s.held.values() for h in held
    )
    rings = any(slot.ring for s in stage.steps for slot in s.slots.values())
    if own_scalar or tensor_sums or rings or not leaves[0].inplace or len(leaves) == 1:
        return [], list(range(len(leaves)))
    packs: dict[Any, list[list[int]]] = {}
    sizes: dict[Any, int] = {}
    large: list[int] = []
    for i, leaf in enumerate(leaves):
        if leaf.numel > PACK or not leaf.dense:
            large.append(i)
            continue
        key = (arithmetic(leaf), leaf.param.device)
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

    def cat(tensors: list[Tensor]) -> Tensor:
        return torch.cat([leaf.flat(t) for leaf, t in zip(leaves, tensors, strict=True)])

    envs = [given.inputs(leaf, lane, _inputs(stage)) for leaf in leaves]
    env = {
        k: cat([e[k] for e in envs])
        if (isinstance(v, Tensor) and v.dim()) or k in ("param", "grad", "noise")
        else v
        for k, v in envs[0].items()
    }
    names = [n for s in stage.steps for n, slot in s.slots.items() if not slot.shared]
    slots: dict[str, Any] = {}
    for name in names:
        stored = [leaf.read(name) for leaf in leaves]
        slots[name] = None if stored[0] is None else cat(stored)
    return env, slots, cat([given.lift(leaf, u) for leaf, u in zip(leaves, us, strict=True)])


def _unpack(stage: Stage, leaves: list[Leaf], frame: Frame, u: Tensor, shared: list[str]) -> None:
    sizes = [leaf.real(leaf.param).numel() for leaf in leaves]

    def write(whole: Tensor, targets: list[Tensor]) -> None:
        pieces = [leaf.unflat(p) for leaf, p in zip(leaves, whole.split(sizes), strict=True)]
        torch._foreach_copy_(targets, pieces)

    for name in frame.changed:
        if name not in shared:
            write(frame.slots[name], [leaf.state[name] for leaf in leaves])
    if stage.last:
        write(u, [leaf.real(leaf.param.detach()) for leaf in leaves])


def _keep_shared(frame: Frame, leaves: list[Leaf], shared: list[str], final: bool) -> None:
    """A shared scalar is written once, after the last parameter has read it."""
    if final:
        for name in shared:
            if name in frame.changed:
                for leaf in leaves if not leaves[0].inplace else leaves[:1]:
                    leaf.write(name, frame.slots[name])


def _apply(
    stage: Stage, lane: Lane, env: dict[str, Any], slots: dict[str, Any], u: Tensor, sums: dict[Any, Any],
    compiled: bool, prepared: dict[Any, Any],
) -> tuple[Frame, Tensor, bool]:  # fmt: skip
    """Run the stage on one (possibly packed) tensor; in the last stage the result is the new parameter.

    The bool says whether the slots and the parameter it was given were written in place.
    """
    if compiled:
        return *_apply_compiled(stage, lane, env, slots, u, sums, prepared), True
    frame = Frame({**env, **sums}, slots)
    numbers = [x.to(u.dtype) if isinstance(x, Tensor) and x.dtype != u.dtype else x for x in lane.numbers]
    return frame, _finish(stage, run(stage.steps, u, frame, numbers), env), False


def _finish(stage: Stage, u: Tensor, env: dict[str, Any]) -> Tensor:
    if not stage.last or stage.steps[-1].transform.room == "point":
        return u  # a point transform has written the weights itself
    return env["param"] + u


@dataclass
class _Compiled:
    """A kernel of a stage, the slots it writes in place and the shared scalars it returns."""

    kernel: Any = None
    written: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)


_kernels: dict[Any, _Compiled] = {}


def _apply_compiled(
    stage: Stage, lane: Lane, env: dict[str, Any], slots: dict[str, Any], u: Tensor, sums: dict[Any, Any],
    prepared: dict[Any, Any],
) -> tuple[Frame, Tensor]:  # fmt: skip
    """As eager, as one kernel; slots and, in the last stage, the parameter are written by the kernel itself."""
    tensors: dict[Any, Tensor] = {"u": u} | {k: v for k, v in env.items() if isinstance(v, Tensor)} | sums
    tensors |= {("slot", k): v for k, v in slots.items() if v is not None}
    key = (
        stage.key, u.device, tuple(tensors), tuple((t.dtype, t.dim()) for t in tensors.values()),
    )  # fmt: skip
    made = _kernels.get(key)
    if made is None:
        made = _kernels[key] = _compile_stage(
            stage, list(tensors), list(tensors.values()), list(slots), len(lane.numbers)
        )
    if key not in prepared:
        prepared[key] = made.kernel.prepare([float(lane.step), *lane.numbers])
    results = made.kernel(list(tensors.values()), prepared[key])
    frame = Frame(env, slots, set(made.written))
    for name, value in zip(made.returned, results, strict=False):
        frame.write(name, value)
    return frame, env["param"] if stage.last else results[-1]


def _compile_stage(
    stage: Stage, names: list[Any], tensors: list[Tensor], slots: list[str], numbers: int
) -> _Compiled:
    made = _Compiled()
    shared = set(_shared_names(stage.steps))

    def pure(args: Sequence[Tensor], values: Sequence[Any]) -> tuple[dict[int, Tensor], list[Tensor]]:
        given = dict(zip(names, args, strict=True))
        frame = Frame({**given, "step": values[0]}, {k: given.get(("slot", k)) for k in slots})
        result = _finish(stage, run(stage.steps, given["u"], frame, values[1:]), given)
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


# sheet stages -----------------------------------------------------------------------------------------------------


@dataclass
class _Sheet:
    """One matrix (or batch of them) of a parameter."""

    leaf: Leaf
    number: int
    several: bool
    u: Tensor
    env: dict[str, Any]
    slots: dict[str, Any]
    out: Any = None
    new: dict[str, Any] = field(default_factory=dict)


def run_sheet(stage: Stage, lane: Lane, us: list[Tensor], given: Pass, sums: dict[Any, Any]) -> list[Tensor]:
    """Rules that see matrices [m, n]: equal small ones stacked, the others one by one."""
    sheets = [
        s for leaf, u in zip(lane.leaves, us, strict=True) for s in _sheets(stage, lane, leaf, u, given)
    ]
    buckets: dict[Any, list[_Sheet]] = {}
    for s in sheets:
        present = tuple((n, None if t is None else t.shape[t.dim() - 2 :]) for n, t in s.slots.items())
        alone = s.u.dim() == 2 and s.u.numel() > STACK
        key = (s.u.shape[-2:], s.u.dtype, s.u.device, present, id(s) if alone else 0)
        buckets.setdefault(key, []).append(s)
    for bucket in buckets.values():
        _run_bucket(stage, lane, bucket, sums)
    shared = _shared_names(stage.steps)
    out: list[Tensor] = []
    for leaf in lane.leaves:
        mine = [s for s in sheets if s.leaf is leaf]
        _write_back(stage, leaf, mine, shared)
        out.append(leaf.from_matrices([s.out for s in mine]))
        if stage.last:
            leaf.write_param(out[-1])
    for name in shared:
        if name in sheets[-1].new:
            for leaf in lane.leaves if not lane.leaves[0].inplace else lane.leaves[:1]:
                leaf.write(name, sheets[-1].new[name])
    return out


def _sheets(stage: Stage, lane: Lane, leaf: Leaf, u: Tensor, given: Pass) -> list[_Sheet]:
    seen = leaf.matrices(sharding.whole(given.lift(leaf, u)))
    envs: dict[str, Any] = {}
    for name, value in given.inputs(leaf, lane, _inputs(stage)).items():
        envs[name] = leaf.matrices(value) if isinstance(value, Tensor) and name != "loss" else value
    several = len(seen) > 1
    slots: list[dict[str, Any]] = [{} for _ in seen]
    for step in stage.steps:
        for name, slot in step.slots.items():
            if "m n" in slot.axes:
                whole = leaf.read(name)
                parts = [None] * len(seen) if whole is None else _slot_matrices(leaf, whole, slot.axes)
            else:
                parts = [
                    leaf.read(f"{name}.{i}" if several and not slot.shared else name)
                    for i in range(len(seen))
                ]
            for i, part in enumerate(parts):
                slots[i][name] = part
    return [
        _Sheet(
            leaf, i, several, m, {k: v[i] if isinstance(v, list) else v for k, v in envs.items()}, slots[i]
        )
        for i, m in enumerate(seen)
    ]


def _slot_matrices(leaf: Leaf, whole: Tensor, axes: str) -> list[Tensor]:
    if axes == "m n":
        return leaf.matrices(whole)
    rows = [leaf.matrices(row) for row in whole]  # a window of matrices
    return [torch.stack([r[i] for r in rows], dim=-3) for i in range(len(rows[0]))]


def _run_bucket(stage: Stage, lane: Lane, bucket: list[_Sheet], sums: dict[Any, Any]) -> None:
    def single(u: Tensor, env: dict[str, Any], slots: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        frame = Frame({**env, **rest, **sums}, dict(slots))
        numbers = [x.to(u.dtype) if isinstance(x, Tensor) and x.dtype != u.dtype else x for x in lane.numbers]
        u = _finish(stage, run(stage.steps, u, frame, numbers), env)
        return u, {n: frame.slots[n] for n in frame.changed}

    first = bucket[0]
    tensors = [k for k, v in first.env.items() if isinstance(v, Tensor) and v.dim() >= 2]
    rest = {k: v for k, v in first.env.items() if k not in tensors}
    if len(bucket) == 1 and first.u.dim() == 2:
        first.out, first.new = single(first.u, {k: first.env[k] for k in tensors}, first.slots)
        return
    shared = {n for s in stage.steps for n, slot in s.slots.items() if slot.shared}
    names = [n for n, v in first.slots.items() if v is not None]
    counts = [s.u.shape[:-2].numel() for s in bucket]

    def stack(values: list[Tensor], like: list[Tensor]) -> Tensor:
        return torch.cat([v.reshape(-1, *v.shape[u.dim() - 2 :]) for v, u in zip(values, like, strict=True)])

    us = [s.u for s in bucket]
    env = {k: stack([s.env[k] for s in bucket], us) for k in tensors}
    slots = {n: first.slots[n] if n in shared else stack([s.slots[n] for s in bucket], us) for n in names}
    dims = {n: None if n in shared else 0 for n in names}
    absent = {n: None for n, v in first.slots.items() if v is None}
    batched = torch.func.vmap(lambda u, e, s: single(u, e, {**s, **absent}), in_dims=(0, 0, dims))
    u, new = batched(stack(us, us), env, slots)
    at = 0
    for s, count in zip(bucket, counts, strict=True):
        batch = s.u.shape[:-2]
        s.out = u[at : at + count].reshape(*batch, *u.shape[1:])
        s.new = {
            n: v[at] if n in shared else v[at : at + count].reshape(*batch, *v.shape[1:])
            for n, v in new.items()
        }
        at += count


def _write_back(stage: Stage, leaf: Leaf, mine: list[_Sheet], shared: list[str]) -> None:
    for step in stage.steps:
        for name, slot in step.slots.items():
            if name in shared or name not in mine[0].new:
                continue
            if slot.axes == "m n":
                leaf.write(name, leaf.from_matrices([s.new[name] for s in mine]))
            elif "m n" in slot.axes:
                rows = range(mine[0].new[name].shape[-3])
                leaf.write(
                    name,
                    torch.stack(
                        [leaf.from_matrices([s.new[name].select(-3, r) for s in mine]) for r in rows]
                    ),
                )
            else:
                for s in mine:
                    leaf.write(f"{name}.{s.number}" if s.several else name, s.new[name])


__all__ = ["Pass", "compute_dtype", "run_flat", "run_sheet"]
