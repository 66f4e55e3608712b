"""Where the parts of a tensor live. The only file that may name torch.distributed.

A parameter is either whole here or a DTensor (FSDP2, HSDP, tensor parallelism, and their products). The rest of the
engine works on the part that lives here, a plain tensor, and knows four verbs: ``whole`` gathers, ``put_back`` keeps
this rank's part of a whole result, ``totals`` completes numbers that every rank has summed over its part, and
``indices`` tells which elements of the whole live here.
"""

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
    """Copy a saved value, whole or sharded in any way, into a tensor that is whole or sharded in its own."""
    where, came = place(target), place(value)
    if came is not None and (where is None or came.placements != where.placements or came.mesh != where.mesh):
        value = value.full_tensor()  # type: ignore[attr-defined]
        came = None
    local(target).copy_(local(value) if came is not None else put_back(value, where))


def agreed(flags: Tensor, places: Sequence[Place | None]) -> Tensor:
    """The largest over all ranks of any mesh: what one has seen (an overflow), all know."""
    import torch.distributed as dist

    for mesh in {id(w.mesh): w.mesh for w in places if w is not None}.values():
        for axis in range(mesh.ndim):
            dist.all_reduce(flags, dist.ReduceOp.MAX, group=mesh.get_group(axis))
    return flags


def mean_over_ranks(value: Tensor, places: Sequence[Place | None]) -> Tensor:
    """A loss that each rank has computed on its own batch, averaged over the mesh, so that all decide alike."""
    import torch.distributed as dist

    for mesh in {id(w.mesh): w.mesh for w in places if w is not None}.values():
        for axis in range(mesh.ndim):
            value = value.clone()
            dist.all_reduce(value, dist.ReduceOp.SUM, group=mesh.get_group(axis))
            value = value / mesh.size(axis)
    return value


# owner-computes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exchange:
    """Matrices sent whole to one rank each, and their results back: each rank works on its share, where gathering would
    have all ranks do all the work. One message each way; a rank sends its own shards once, and as an owner about as
    much again (its share of all matrices, less what stays)."""

    axis: int  # of the mesh
    mesh: Any
    places: dict[int, Place]
    owners: dict[int, int]

    @classmethod
    def of(
        cls, places: Sequence[Place | None], costs: Sequence[float], dtypes: Sequence[Any]
    ) -> Exchange | None:
        """For the tensors cut along one common mesh axis, of one dtype; None if there are none. Owners are balanced by
        cost: the dearest first, each to the rank with the least work."""
        from torch.distributed.tensor import Shard

        kinds = {
            i: (w.mesh, w.cut, dtypes[i])
            for i, w in enumerate(places)
            if w is not None and len(w.cut) == 1 and type(w.placements[w.cut[0]]) is Shard
        }
        if not kinds:
            return None
        first = next(iter(kinds.values()))
        members = [i for i, kind in kinds.items() if kind == first]
        mesh, (axis,), _ = first
        work = [0.0] * mesh.size(axis)
        owners: dict[int, int] = {}
        for i in sorted(members, key=lambda i: -costs[i]):
            owners[i] = work.index(min(work))
            work[owners[i]] += costs[i]
        return cls(axis, mesh, {i: places[i] for i in members}, owners)  # type: ignore[misc]

    @property
    def mine(self) -> list[int]:
        """What this rank owns."""
        return [i for i in self.places if self.owners[i] == self.mesh.get_local_rank(self.axis)]

    def collect(self, parts: Sequence[Tensor]) -> dict[int, Tensor]:
        """The whole of each tensor that this rank owns, from everyone's parts."""
        out = [[parts[i] for i in self.places if self.owners[i] == rank] for rank in self._ranks]
        back = self._swap(out, [[self._part(i, rank) for i in self.mine] for rank in self._ranks])
        return {
            i: torch.cat([back[r][k] for r in self._ranks], self._dim(i)) for k, i in enumerate(self.mine)
        }

    def hand_out(self, results: dict[int, Tensor], like: Tensor) -> dict[int, Tensor]:
        """This rank's part of every result, from their owners (``like``: dtype and device, for who owns none)."""
        cut = {i: results[i].split(self._lengths(i), self._dim(i)) for i in self.mine}
        out = [[cut[i][rank] for i in self.mine] for rank in self._ranks]
        here = self.mesh.get_local_rank(self.axis)
        theirs = [[i for i in self.places if self.owners[i] == rank] for rank in self._ranks]
        back = self._swap(out, [[self._part(i, here) for i in members] for members in theirs], like)
        return {i: back[r][k] for r, members in enumerate(theirs) for k, i in enumerate(members)}

    @property
    def _ranks(self) -> range:
        return range(self.mesh.size(self.axis))

    def _dim(self, i: int) -> int:
        return self.places[i].placements[self.axis].dim

    def _lengths(self, i: int) -> list[int]:
        """How many rows (or columns) each rank has: equal chunks, the last ones shorter or empty."""
        n, ranks = self.places[i].shape[self._dim(i)], len(self._ranks)
        chunk = -(-n // ranks)
        return [max(0, min(n, (r + 1) * chunk) - r * chunk) for r in self._ranks]

    def _part(self, i: int, rank: int) -> tuple[int, ...]:
        shape = list(self.places[i].shape)
        shape[self._dim(i)] = self._lengths(i)[rank]
        return tuple(shape)

    def _swap(
        self, out: list[list[Tensor]], shapes: list[list[tuple[int, ...]]], like: Tensor | None = None
    ) -> list[list[Tensor]]:
        """Send a list of tensors to every rank, and receive one of these shapes from each."""
        import torch.distributed as dist

        sending = [t.reshape(-1) for tensors in out for t in tensors]
        like = next((t for t in sending if t.numel()), like) if like is None else like
        sizes = [sum(torch.Size(s).numel() for s in each) for each in shapes]
        source = torch.cat(sending) if sending else like.new_empty(0)  # type: ignore[union-attr]
        target = source.new_empty(sum(sizes))
        lengths = [sum(t.numel() for t in tensors) for tensors in out]
        dist.all_to_all_single(target, source, sizes, lengths, group=self.mesh.get_group(self.axis))
        found = []
        for piece, each in zip(target.split(sizes), shapes, strict=True):
            numbers = [torch.Size(s).numel() for s in each]
            found.append([p.view(s) for p, s in zip(piece.split(numbers), each, strict=True)])
        return found
