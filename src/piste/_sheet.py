"""Stages that see a parameter as matrices [m, n]: equal small ones stacked and vmapped, the others one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._leaf import Leaf, blocks
from ._pass import Pass, cast, finish, shared_names
from ._program import Frame, run

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
    us = [given.lift(leaf, u) for leaf, u in zip(leaves, us, strict=True)]
    exchange = _exchange(stage, leaves, us)
    wholes = {} if exchange is None else exchange.collect(us)
    for i, leaf in enumerate(leaves):
        if exchange is None or i not in exchange.places:
            wholes[i] = sharding.whole(us[i], leaf.place)
    sheets = {i: _sheets(stage, lane, leaves[i], u, given) for i, u in wholes.items()}
    _run_buckets(stage, lane, [s for several in sheets.values() for s in several], sums)
    shared = shared_names(stage.steps)
    for i, mine in sheets.items():
        _write_back(stage, leaves[i], mine, shared)
        wholes[i] = leaves[i].from_matrices([s.out for s in mine])
    parts = {} if exchange is None else exchange.hand_out(wholes, us[0])
    out = [
        parts[i] if i in parts else sharding.put_back(wholes[i], leaf.place) for i, leaf in enumerate(leaves)
    ]
    if stage.last:
        for leaf, u in zip(leaves, out, strict=True):
            given.write_param(leaf, lane, u)
    new = next(reversed(sheets.values()))[-1].new if shared else {}
    for name in shared:
        if name in new:
            for leaf in leaves if not leaves[0].inplace else leaves[:1]:
                leaf.write(name, new[name])
    return out


def _run_buckets(stage: Stage, lane: Lane, sheets: list[_Sheet], sums: dict[Any, Any]) -> None:
    buckets: dict[Any, list[_Sheet]] = {}
    for s in sheets:
        present = tuple((n, None if t is None else t.shape[t.dim() - 2 :]) for n, t in s.slots.items())
        alone = s.u.dim() == 2 and s.u.numel() > STACK
        key = (s.u.shape[-2:], s.u.dtype, s.u.device, present, id(s) if alone else 0)
        buckets.setdefault(key, []).append(s)
    for bucket in buckets.values():
        _run_bucket(stage, lane, bucket, sums)


def _exchange(stage: Stage, leaves: list[Leaf], us: list[Tensor]) -> sharding.Exchange | None:
    """Where sharded matrices are sent whole to one owner each: for rules that keep nothing and look at nothing but the
    update, which alone is sent. The others gather."""
    looks = stage.inputs - {"step", "loss"} or any(s.slots for s in stage.steps)
    if looks or all(leaf.place is None for leaf in leaves):
        return None
    costs = [float(sum(m.numel() * min(m[-2:]) for m in blocks(leaf))) for leaf in leaves]
    return sharding.Exchange.of([leaf.place for leaf in leaves], costs, [u.dtype for u in us])


def _sheets(stage: Stage, lane: Lane, leaf: Leaf, u: Tensor, given: Pass) -> list[_Sheet]:
    """``u`` is the whole update of the parameter."""
    seen = leaf.matrices(u)
    envs: dict[str, Any] = {}
    for name, value in given.inputs(leaf, lane, stage.inputs).items():
        tensor = isinstance(value, Tensor) and name != "loss"
        envs[name] = leaf.matrices(sharding.whole(value, leaf.place)) if tensor else value
    several = len(seen) > 1
    slots: list[dict[str, Any]] = [{} for _ in seen]
    for step in stage.steps:
        for name, slot in step.slots.items():
            if "m n" in slot.axes:
                whole = leaf.read(name)
                whole = (
                    None
                    if whole is None
                    else sharding.whole(whole, leaf.place, whole.dim() - len(leaf.shape))
                )
                parts = [None] * len(seen) if whole is None else _slot_matrices(leaf, whole, slot.axes)
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
            if slot.kind == "probe":
                leaf.write(name, torch.stack([s.new[name].mean() for s in mine]).mean())
            elif slot.axes == "m n":
                whole = leaf.from_matrices([s.new[name] for s in mine])
                leaf.write(name, sharding.put_back(whole, leaf.place))
            elif "m n" in slot.axes:
                rows = range(mine[0].new[name].shape[-3])
                window = [leaf.from_matrices([s.new[name].select(-3, r) for s in mine]) for r in rows]
                leaf.write(name, sharding.put_back(torch.stack(window), leaf.place, 1))
            else:
                for s in mine:
                    leaf.write(f"{name}.{s.number}" if s.several else name, s.new[name])
