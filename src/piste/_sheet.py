"""Stages that see a parameter as matrices [m, n]: equal small ones stacked and vmapped, the others one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._chain import SENSED
from ._leaf import Leaf
from ._pass import Pass, cast, finish
from ._program import Frame, run
from ._signals import SIGNALS

if TYPE_CHECKING:
    from ._plan import Lane, Stage

STACK = 1 << 17  # matrices of fewer elements are stacked; larger ones would only copy their state


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
    leaves = lane.leaves
    names = sorted(stage.inputs)  # ranks exchange them in this order, and that of a set is each process's own
    seen = [
        {"u": given.lift(leaf, u), **given.inputs(leaf, lane, names)}
        for leaf, u in zip(leaves, us, strict=True)
    ]
    wholes = {
        i: {name: sharding.whole(x, leaf.place) if _moves(name, x) else x for name, x in seen[i].items()}
        for i, leaf in enumerate(leaves)
        if leaf.owner is None
    }
    found = {i: sharding.put_back(u, leaves[i].place) for i, u in _run(stage, lane, wholes, sums).items()}
    if len(wholes) < len(leaves):
        found |= _run_at_owners(stage, lane, seen, sums)
    out = [found[i] for i in range(len(leaves))]
    if stage.last:
        for leaf, u in zip(leaves, out, strict=True):
            given.write_param(leaf, lane, u)
    return out


def _moves(name: str, value: Any) -> bool:
    """Whether it is cut up as the parameter is."""
    return isinstance(value, Tensor) and name not in ("loss", *SENSED) and not _rides(name)


def _rides(name: str) -> bool:
    """Whether it is a signal of a shape of its own, which comes to each of the parameter's matrices as it is."""
    return name in SIGNALS and not SIGNALS[name].rows


def _run(
    stage: Stage, lane: Lane, wholes: dict[int, dict[str, Any]], sums: dict[Any, Any]
) -> dict[int, Tensor]:
    """The new updates of the parameters of which update and inputs are whole here; their slots are written."""
    leaves, shared = lane.leaves, stage.shared
    sheets = {i: _sheets(stage, leaves[i], seen) for i, seen in wholes.items()}
    _run_buckets(stage, lane, [s for several in sheets.values() for s in several], sums)
    for i, mine in sheets.items():
        _write_back(stage, leaves[i], mine, shared)
    new = next(reversed(sheets.values()))[-1].new if shared else {}
    for name in shared:
        if name in new:
            for leaf in leaves if not leaves[0].inplace else leaves[:1]:
                leaf.write(name, new[name])
    return {i: leaves[i].from_matrices([s.out for s in mine]) for i, mine in sheets.items()}


def _run_at_owners(
    stage: Stage, lane: Lane, seen: list[dict[str, Any]], sums: dict[Any, Any]
) -> dict[int, Tensor]:
    """This rank's part of the new updates. The matrices of one wave travel while those of the one before are worked
    on."""
    owners = {i: leaf.owner for i, leaf in enumerate(lane.leaves) if leaf.owner is not None}
    members = list(owners)
    grouped = sharding.waves(list(owners.values()), [seen[i]["u"].dtype for i in members])
    waves = [[members[k] for k in few] for few in grouped]
    arriving, returning = _collect(owners, waves[0], seen), []
    for few, following in zip(waves, [*waves[1:], None], strict=True):
        wholes = arriving()
        arriving = _collect(owners, following, seen) if following else arriving
        done = _run(stage, lane, wholes, sums)
        like = seen[few[0]]["u"]
        returning.append(sharding.hand_out([owners[i] for i in few], [done.get(i) for i in few], like))
    _agree_on_probes(stage, lane)
    return {
        i: u for few, back in zip(waves, returning, strict=True) for i, u in zip(few, back(), strict=True)
    }


def _collect(
    owners: dict[int, sharding.Owner], few: list[int], seen: list[dict[str, Any]]
) -> Callable[[], dict[int, dict[str, Any]]]:
    """Send update and inputs to the owners; the answer, called, gives those of the parameters that are owned here."""
    moving = [(i, name) for i in few for name, x in seen[i].items() if _moves(name, x)]
    arrived = sharding.collect([owners[i] for i, _ in moving], [seen[i][name] for i, name in moving])

    def wait() -> dict[int, dict[str, Any]]:
        found = {i: dict(seen[i]) for i in few if owners[i].here}
        for (i, name), whole in zip(moving, arrived(), strict=True):
            if whole is not None:
                found[i][name] = whole
        return found

    return wait


def _agree_on_probes(stage: Stage, lane: Lane) -> None:
    """What an owner has seen, the other ranks are told."""
    names = [n for s in stage.steps for n, slot in s.slots.items() if slot.kind == "probe"]
    told = [(leaf, n) for leaf in lane.leaves if leaf.owner is not None for n in names if n in leaf.probes]
    unseen = torch.zeros((), dtype=torch.float64)
    numbers = [
        (leaf.probes[n] if leaf.owner is not None and leaf.owner.here else unseen).to(
            leaf.param.device, torch.float64
        )
        for leaf, n in told
    ]
    for (leaf, n), number in zip(
        told, sharding.totals(numbers, [f.place for f, _ in told], "sum"), strict=True
    ):
        leaf.probes[n] = number


def _run_buckets(stage: Stage, lane: Lane, sheets: list[_Sheet], sums: dict[Any, Any]) -> None:
    buckets: dict[Any, list[_Sheet]] = {}
    for s in sheets:
        present = tuple((n, None if t is None else t.shape[t.dim() - 2 :]) for n, t in s.slots.items())
        present += tuple(
            (n, v.shape[s.u.dim() - 2 :]) for n, v in s.env.items() if n in SIGNALS and v is not None
        )
        alone = s.u.dim() == 2 and s.u.numel() > STACK
        key = (s.u.shape[-2:], s.u.dtype, s.u.device, present, id(s) if alone else 0)
        buckets.setdefault(key, []).append(s)
    for bucket in buckets.values():
        _run_bucket(stage, lane, bucket, sums)


def _sheets(stage: Stage, leaf: Leaf, whole: dict[str, Any]) -> list[_Sheet]:
    """The matrices of a parameter, from its whole update and inputs."""
    envs = {name: leaf.matrices(x) if _moves(name, x) else x for name, x in whole.items()}
    seen = envs.pop("u")
    for name, x in envs.items():
        if isinstance(x, Tensor) and _rides(name):
            envs[name] = [x.expand(*m.shape[:-2], *x.shape) for m in seen]
    several = len(seen) > 1
    slots: list[dict[str, Any]] = [{} for _ in seen]
    for step in stage.steps:
        for name, slot in step.slots.items():
            if "m n" in slot.axes:
                kept = leaf.read(name)
                if kept is not None:
                    kept = sharding.whole(kept, leaf.spread, kept.dim() - len(leaf.shape))
                parts = [None] * len(seen) if kept is None else _slot_matrices(leaf, kept, slot.axes)
            elif slot.kind == "probe":  # one number for the parameter, asked of each of its matrices
                shown = leaf.read(name)
                parts = [None if shown is None else shown.expand(m.shape[:-2]) for m in seen]
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
        u = finish(stage, run(stage.steps, u, frame, cast(lane.numbers, u)), env)
        return u, {n: frame.slots[n] for n in frame.changed}

    first = bucket[0]
    tensors = [k for k, v in first.env.items() if isinstance(v, Tensor) and (v.dim() >= 2 or k in SIGNALS)]
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
            n: v[at] if n in shared else v[at : at + count].reshape((*batch, *v.shape[1:]))
            for n, v in new.items()
        }
        at += count


def _write_back(stage: Stage, leaf: Leaf, mine: list[_Sheet], shared: list[str]) -> None:
    for step in stage.steps:
        for name, slot in step.slots.items():
            if name in shared or not any(name in s.new for s in mine):
                continue
            if slot.kind == "probe":
                seen = [s.new[name].to(torch.float64) for s in mine if name in s.new]
                shown = torch.stack([x.sum() if slot.adds else x.mean() for x in seen])
                leaf.write(name, shown.sum() if slot.adds else shown.mean())
            elif slot.axes == "m n":
                whole = leaf.from_matrices([s.new[name] for s in mine])
                leaf.write(name, sharding.put_back(whole, leaf.spread))
            elif "m n" in slot.axes:
                rows = range(mine[0].new[name].shape[-3])
                window = [leaf.from_matrices([s.new[name].select(-3, r) for s in mine]) for r in rows]
                leaf.write(name, sharding.put_back(torch.stack(window), leaf.spread, 1))
            else:
                for s in mine:  # of unequal matrices some keep what others do not
                    if name not in s.new:
                        continue
                    leaf.write(f"{name}.{s.number}" if s.several else name, s.new[name])
