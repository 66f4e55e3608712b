"""The parts of a tensor that every rank has of it, and the messages that make them one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_PLAIN = (Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class Place:
    """A mesh, a placement for each of its axes, and the shape and strides of the whole tensor."""

    mesh: Any
    placements: tuple[Any, ...]
    shape: torch.Size
    stride: tuple[int, ...]

    @property
    def cut(self) -> tuple[int, ...]:
        """The mesh axes along which the tensor is cut up."""
        return tuple(
            i for i, p in enumerate(self.placements) if not p.is_replicate() and self.mesh.size(i) > 1
        )

    @property
    def by_rows(self) -> bool:
        """Whether the tensor is cut along its first axis only, in one piece per rank."""
        from torch.distributed.tensor import Shard

        return all(type(self.placements[i]) is Shard and self.placements[i].dim == 0 for i in self.cut)


def place(tensor: Tensor) -> Place | None:
    """Where a tensor's parts live; None if it is whole here."""
    if type(tensor) in _PLAIN or not _is_dtensor(tensor):
        return None
    spec: Any = tensor._spec  # type: ignore[attr-defined]
    return Place(spec.mesh, tuple(spec.placements), tensor.shape, tensor.stride())


def _is_dtensor(tensor: Any) -> bool:
    made = sys.modules.get(
        "torch.distributed.tensor"
    )  # importing it costs a second: who has one has imported it
    return made is not None and isinstance(tensor, made.DTensor)


def local(tensor: Tensor) -> Tensor:
    """The part of the tensor that lives here."""
    return tensor._local_tensor if type(tensor) not in _PLAIN and _is_dtensor(tensor) else tensor  # type: ignore


def aligned(tensor: Tensor, where: Place | None) -> Tensor:
    """The part that lives here of a gradient, brought to its parameter's placements (tensor parallelism may hand over
    partial sums)."""
    if where is None:
        return local(tensor)
    if not _is_dtensor(tensor):
        return tensor
    if tuple(tensor._spec.placements) != where.placements:  # type: ignore[attr-defined]
        tensor = tensor.redistribute(where.mesh, where.placements)  # type: ignore[attr-defined]
    return local(tensor)


def wrap(part: Tensor, where: Place | None, leading: int = 0, whole: tuple[int, ...] | None = None) -> Tensor:
    """A DTensor of parts in the placements of ``where``, behind ``leading`` further axes that are whole (or of another
    shape, ``whole``, whose axes are cut alike)."""
    if where is None:
        return part
    from torch.distributed.tensor import DTensor

    shape = torch.Size((*part.shape[:leading], *where.shape) if whole is None else whole)
    stride = where.stride if shape == where.shape else torch.empty(shape, device="meta").stride()
    placements = [_shifted(p, leading) for p in where.placements]
    return DTensor.from_local(part, where.mesh, placements, run_check=False, shape=shape, stride=stride)


def _shifted(placement: Any, by: int) -> Any:
    """The placement of the same axis behind ``by`` further ones."""
    if not by or placement.is_replicate():
        return placement
    strided = {"split_factor": placement.split_factor} if hasattr(placement, "split_factor") else {}
    return type(placement)(placement.dim + by, **strided)


def copies(tensor: Tensor, where: Place | None) -> Tensor:
    """A DTensor of which every rank holds the whole."""
    if where is None:
        return tensor
    from torch.distributed.tensor import DTensor, Replicate

    everywhere = [Replicate()] * where.mesh.ndim
    return DTensor.from_local(tensor, where.mesh, everywhere, run_check=False)


def whole(part: Tensor, where: Place | None, leading: int = 0) -> Tensor:
    """The whole tensor from everyone's parts."""
    if where is None or not where.cut:
        return part
    return wrap(part.contiguous(), where, leading).full_tensor()  # type: ignore[attr-defined]


def put_back(result: Tensor, where: Place | None, leading: int = 0) -> Tensor:
    """This rank's part of a whole result, which every rank has: nothing is sent."""
    if where is None or not where.cut:
        return result
    placements = [_shifted(p, leading) for p in where.placements]
    return copies(result, where).redistribute(where.mesh, placements)._local_tensor  # type: ignore[attr-defined]


def totals(parts: Sequence[Tensor], places: Sequence[Place | None], how: str) -> list[Tensor]:
    """Numbers of whole tensors ("sum" or "max") from those of this rank's parts: one message per set of mesh axes."""
    found = list(parts)
    groups: dict[Any, list[int]] = {}
    for i, where in enumerate(places):
        if where is not None and where.cut:
            groups.setdefault((where.mesh, where.cut), []).append(i)
    for (mesh, cut), members in groups.items():
        import torch.distributed as dist

        numbers = torch.stack([found[i] for i in members])
        for axis in cut:
            op = dist.ReduceOp.MAX if how == "max" else dist.ReduceOp.SUM
            dist.all_reduce(numbers, op, group=mesh.get_group(axis))
        for i, number in zip(members, numbers.unbind(), strict=True):
            found[i] = number
    return found


def reduce(partials: Sequence[Tensor], how: str) -> Tensor:
    """One number from every tensor's: "sum" or "max"."""
    first = partials[0].device
    stacked = torch.stack([p.to(first) for p in partials])
    return stacked.amax() if how == "max" else stacked.sum()


def number(tensor: Tensor) -> float:
    """A tensor of one element as a float, completed over the ranks: ``float()`` would give this rank's part."""
    return float(tensor.full_tensor() if _is_dtensor(tensor) else tensor)  # type: ignore[attr-defined]


def largest(tensor: Tensor) -> float:
    """The size of the largest entry, wherever it lives; 0 of nothing."""
    where = place(tensor)
    if where is not None and any(p.is_partial() for p in where.placements):
        tensor, where = tensor.full_tensor(), None  # type: ignore[attr-defined]
    part = local(tensor)
    here = part.abs().amax() if part.numel() else part.new_zeros(())
    return float(here if where is None else agreed(here, [where]))


def indices(part: Tensor, where: Place | None) -> Tensor | None:
    """Index in the whole tensor of each element that lives here, in the part's shape; None if it is whole (noise is
    drawn by these)."""
    if where is None or not where.cut:
        return None
    every = torch.arange(where.shape.numel(), device=part.device).view(where.shape)
    return put_back(every, where)


def everywhere(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded."""
    return tensor.full_tensor() if _is_dtensor(tensor) else tensor  # type: ignore[attr-defined]


def fill(target: Tensor, value: Tensor) -> None:
    """Copy a saved value, whole or sharded in any way, into a tensor that is whole or sharded in its own (or that an
    owner has: empty on the other ranks)."""
    where, came = place(target), place(value)
    if came is not None and (where is None or came.placements != where.placements or came.mesh != where.mesh):
        value = value.full_tensor()  # type: ignore[attr-defined]
        came = None
    if where is not None or target.numel():
        local(target).copy_(local(value) if came is not None else put_back(value, where))


def agreed(flags: Tensor, places: Sequence[Place | None]) -> Tensor:
    """The largest over all ranks of any mesh: what one has seen (an overflow), all know."""
    import torch.distributed as dist

    for mesh in {id(w.mesh): w.mesh for w in places if w is not None}.values():
        for axis in range(mesh.ndim):
            dist.all_reduce(flags, dist.ReduceOp.MAX, group=mesh.get_group(axis))
    return flags


def combined(
    pairs: Sequence[tuple[Tensor, int] | None], places: Sequence[Place | None], how: str
) -> list[tuple[Tensor, int] | None]:
    """What ranks have seen of whole tensors, each on its own batch: (the largest, 1), or (the sum, of how many). Some
    may have seen nothing, so shapes are agreed upon first."""
    found = list(pairs)
    meshes = {id(w.mesh): w.mesh for w in places if w is not None}
    for key, mesh in meshes.items():
        members = [i for i, w in enumerate(places) if w is not None and id(w.mesh) == key]
        shapes, dtype = _agreed_shapes([found[i] for i in members], mesh)
        if not any(shape is not None for shape in shapes):
            continue
        none = torch.full((), float("-inf") if how == "max" else 0.0)
        pairs_here = [found[i] or (none, 0) for i in members]
        device = mesh.device_type
        here = [
            pair[0].to(device, dtype).expand(shape)
            for pair, shape in zip(pairs_here, shapes, strict=True)
            if shape is not None
        ]
        counts = [torch.full((1,), float(count), dtype=dtype, device=device) for _, count in pairs_here]
        flat = torch.cat([t.reshape(-1) for t in [*here, *(counts if how == "mean" else [])]])
        _all_reduce(flat, mesh, how)
        numbers = iter(flat.split([t.numel() for t in here] + [1] * (len(members) * (how == "mean"))))
        values = [None if shape is None else next(numbers).view(shape) for shape in shapes]
        totals = [int(next(numbers)) if how == "mean" else 1 for _ in members]
        for i, value, count in zip(members, values, totals, strict=True):
            found[i] = None if value is None else (value, count)
    return found


_AXES = 6  # of a report


def _agreed_shapes(
    pairs: Sequence[tuple[Tensor, int] | None], mesh: Any
) -> tuple[list[tuple[int, ...] | None], torch.dtype]:
    """The shapes of what some rank has, and a dtype that holds all of it."""
    rows = [[0] * (_AXES + 2) if p is None else
            [1 + p[0].dim(), *p[0].shape, *[0] * (_AXES - p[0].dim()), int(p[0].dtype == torch.float64)]
            for p in pairs]  # fmt: skip
    header = torch.tensor(rows, device=mesh.device_type)
    _all_reduce(header, mesh, "max")
    told = header.tolist()
    wide = any(row[-1] for row in told)
    shapes = [tuple(row[1 : row[0]]) if row[0] else None for row in told]
    return shapes, torch.float64 if wide else torch.float32


def _all_reduce(tensor: Tensor, mesh: Any, how: str) -> None:
    import torch.distributed as dist

    for axis in range(mesh.ndim):
        op = dist.ReduceOp.MAX if how == "max" else dist.ReduceOp.SUM
        dist.all_reduce(tensor, op, group=mesh.get_group(axis))


def mean_over_ranks(value: Tensor, places: Sequence[Place | None]) -> Tensor:
    """A loss that each rank has computed on its own batch, averaged over the mesh, so that all decide alike."""
    import torch.distributed as dist

    for mesh in {id(w.mesh): w.mesh for w in places if w is not None}.values():
        for axis in range(mesh.ndim):
            value = value.clone()
            dist.all_reduce(value, dist.ReduceOp.SUM, group=mesh.get_group(axis))
            value = value / mesh.size(axis)
    return value


def replicas() -> Any:
    """Who shares the gradients of the DistributedDataParallel whose forward pass is running, or None."""
    made = sys.modules.get("torch.nn.parallel.distributed")
    wrapper = None if made is None else made.DistributedDataParallel._active_ddp_module
    return None if wrapper is None else wrapper.process_group


def over_ranks(
    several: Sequence[Sequence[Tensor | None]], places: Sequence[Place | None], group: Any
) -> list[tuple[int, list[Tensor | None]]]:
    """Sums that each rank has made over its own batch, added up: over the mesh of a sharded parameter, else over
    ``group`` (None: there is but this process). Each with the number of ranks; one message for every kind."""
    out = [list(row) for row in several]
    ranks = [1 if w is None else w.mesh.size() for w in places]
    roads: dict[Any, list[tuple[int, int]]] = {}
    for i, (row, where) in enumerate(zip(out, places, strict=True)):
        if where is None and group is not None:
            import torch.distributed as dist

            ranks[i] = dist.get_world_size(group)
        for k, x in enumerate(row) if where is not None or group is not None else ():
            if x is not None:
                road = id(where.mesh) if where is not None else None
                roads.setdefault((road, x.dtype, x.device), []).append((i, k))
    for members in roads.values():
        where = places[members[0][0]]
        parts: list[Any] = [out[i][k] for i, k in members]
        flat = torch.cat([x.reshape(-1) for x in parts])
        for one in [group] if where is None else [where.mesh.get_group(a) for a in range(where.mesh.ndim)]:
            import torch.distributed as dist

            dist.all_reduce(flat, group=one)
        for (i, k), x in zip(members, flat.split([p.numel() for p in parts]), strict=True):
            out[i][k] = x.view(out[i][k].shape)  # type: ignore[union-attr]
    return list(zip(ranks, out, strict=True))
