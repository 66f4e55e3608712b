"""Tensors that are whole at one rank each, their owner, and cut up among all.

Each rank works on its share of the matrices, where gathering would have all ranks do all the work and hold all the
state. A rank sends its own shards once, and as an owner about as much again (its share of all matrices, less what
stays), in one message each way; many matrices travel in waves, so that the next ones come while these are worked on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .places import Place, everywhere, local, place

WAVE = 1 << 22  # elements that come to one owner in one message, about


@dataclass(frozen=True)
class Owner:
    """The rank that has a tensor whole, among the ``ranks`` along a mesh axis that cut its axis ``dim`` into equal
    chunks (the last ones shorter, or empty)."""

    mesh: Any
    axis: int
    rank: int
    me: int  # where this process stands along that axis
    shape: torch.Size
    dim: int

    @property
    def here(self) -> bool:
        return self.rank == self.me

    @property
    def ranks(self) -> range:
        return range(self.mesh.size(self.axis))

    def length(self, rank: int) -> int:
        """How many rows (or columns) a rank has."""
        n = self.shape[self.dim]
        chunk = -(-n // len(self.ranks))
        return max(0, min(n, (rank + 1) * chunk) - rank * chunk)

    def part(self, rank: int) -> tuple[int, ...]:
        """The shape of a rank's part."""
        return (*self.shape[: self.dim], self.length(rank), *self.shape[self.dim + 1 :])

    def cut(self, whole: Tensor) -> tuple[Tensor, ...]:
        """Every rank's part of what is whole here (a scalar is everyone's)."""
        return whole.expand(self.shape).split([self.length(r) for r in self.ranks], self.dim)

    def at(self, rank: int) -> Owner:
        return replace(self, rank=rank)

    def of(self, shape: Sequence[int]) -> Owner:
        """Of another tensor, cut along its first axis; of a scalar, all ranks get a copy."""
        return replace(self, shape=torch.Size(shape) if shape else torch.Size([len(self.ranks)]), dim=0)


def owner(where: Place | None) -> Owner | None:
    """An owner (the first rank) for a tensor cut along exactly one mesh axis; None for others: they are gathered."""
    if where is None or len(where.cut) != 1:
        return None
    from torch.distributed.tensor import Shard

    (axis,) = where.cut
    cut = where.placements[axis]
    if type(cut) is not Shard:  # a strided one
        return None
    me = where.mesh.get_local_rank(axis)
    return Owner(where.mesh, axis, 0, me, where.shape, cut.dim % len(where.shape))


def waves(owners: Sequence[Owner], dtypes: Sequence[torch.dtype]) -> list[list[int]]:
    """Which tensors travel together: along one mesh axis, of one dtype, a share for every owner."""
    held: dict[Any, int] = {}
    found: dict[Any, list[int]] = {}
    for i, (o, dtype) in enumerate(zip(owners, dtypes, strict=True)):
        road = o.mesh, o.axis, dtype
        before = held.get((*road, o.rank), 0)
        held[(*road, o.rank)] = before + o.shape.numel()
        found.setdefault((*road, before // WAVE), []).append(i)
    return list(found.values())


def collect(owners: Sequence[Owner], parts: Sequence[Tensor]) -> Callable[[], list[Tensor | None]]:
    """Send everyone's parts to the owners; the answer, called, waits and gives the whole of each tensor that is owned
    here, None for the others."""
    ranks, mine = owners[0].ranks, [o for o in owners if o.here]
    out: list[list[Tensor]] = [[] for _ in ranks]
    for o, part in zip(owners, parts, strict=True):
        out[o.rank].append(part)
    arrived = _swap(owners[0], out, [[o.part(rank) for o in mine] for rank in ranks], parts[0])

    def wait() -> list[Tensor | None]:
        back = arrived()
        found = iter([torch.cat([back[r][k] for r in ranks], o.dim) for k, o in enumerate(mine)])
        return [next(found) if o.here else None for o in owners]

    return wait


def hand_out(
    owners: Sequence[Owner], wholes: Sequence[Tensor | None], like: Tensor
) -> Callable[[], list[Tensor]]:
    """Send what is whole here to everyone; the answer, called, waits and gives this rank's part of every tensor
    (``like``: their dtype and device, for who owns none)."""
    ranks, me = owners[0].ranks, owners[0].me
    cut = [o.cut(w.to(like.dtype)) for o, w in zip(owners, wholes, strict=True) if w is not None]
    theirs: list[list[int]] = [[] for _ in ranks]
    for i, o in enumerate(owners):
        theirs[o.rank].append(i)
    shapes = [[owners[i].part(me) for i in few] for few in theirs]
    arrived = _swap(owners[0], [[c[rank] for c in cut] for rank in ranks], shapes, like)

    def wait() -> list[Tensor]:
        back = arrived()
        found = {i: back[r][k] for r, few in enumerate(theirs) for k, i in enumerate(few)}
        return [found[i] for i in range(len(owners))]

    return wait


def _swap(
    road: Owner, out: list[list[Tensor]], shapes: list[list[tuple[int, ...]]], like: Tensor
) -> Callable[[], list[list[Tensor]]]:
    """Send a list of tensors to every rank and receive one of these shapes from each: as bytes, which every backend
    can send."""
    import torch.distributed as dist

    size = like.element_size()
    flat = [_bytes(t) for tensors in out for t in tensors]
    source = torch.cat([like.new_empty(0, dtype=torch.uint8), *flat])
    numbers = [[torch.Size(s).numel() for s in each] for each in shapes]
    receives, sends = [sum(n) * size for n in numbers], [sum(t.numel() for t in ts) * size for ts in out]
    target = source.new_empty(sum(receives))
    group = road.mesh.get_group(road.axis)
    work: Any = dist.all_to_all_single(target, source, receives, sends, group=group, async_op=True)

    def wait() -> list[list[Tensor]]:
        work.wait()
        pieces = target.view(like.dtype).split([sum(n) for n in numbers])
        return [
            [p.view(s) for p, s in zip(piece.split(n), each, strict=True)]
            for piece, n, each in zip(pieces, numbers, shapes, strict=True)
        ]

    return wait


def _bytes(t: Tensor) -> Tensor:
    flat = t.reshape(-1).contiguous()
    if flat.stride(0) != 1:  # of one element, or none, every stride is called contiguous
        flat = flat.clone(memory_format=torch.contiguous_format).as_strided((flat.numel(),), (1,))
    return flat.view(torch.uint8)


# outside a step ----------------------------------------------------------------------------------------------------


def show(owner: Owner, part: Tensor, shape: Sequence[int]) -> Tensor:
    """Everyone's parts of a tensor that lives at its owner as one that is cut along its first axis."""
    if not shape:
        return part.reshape(()).clone()
    from torch.distributed.tensor import DTensor

    stride = torch.empty(shape, device="meta").stride()
    part = part.clone()  # with memory of its own: files and deepcopy take the whole of it
    return DTensor.from_local(
        part, owner.mesh, _placements(owner), run_check=False, shape=torch.Size(shape), stride=stride
    )


def _placements(owner: Owner) -> tuple[Any, ...]:
    from torch.distributed.tensor import Replicate, Shard

    return tuple(Shard(0) if i == owner.axis else Replicate() for i in range(owner.mesh.ndim))


def home(owner: Owner, values: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """Tensors of any placement, whole at the owner; None on the other ranks. Those that are cut as :func:`show` does
    are sent there alone, the others gathered."""
    parts, found = {}, {}
    for name, value in values.items():
        where = place(value)
        if where is not None and where.mesh == owner.mesh and where.placements == _placements(owner):
            parts[name] = local(value)
        else:
            found[name] = everywhere(value) if owner.here or where is not None else None
    names = list(parts)
    owners = [owner.of(values[n].shape) for n in names]
    for few in waves(owners, [p.dtype for p in parts.values()]):
        wholes = collect([owners[i] for i in few], [parts[names[i]] for i in few])()
        found.update((names[i], w) for i, w in zip(few, wholes, strict=True))
    return {name: found[name] if owner.here else None for name in values}
