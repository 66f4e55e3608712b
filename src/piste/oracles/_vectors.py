"""The parameters that have a gradient, as one vector of the parts that live here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _sharding as sharding


@dataclass(frozen=True)
class Space:
    """The tensors that have a gradient, laid end to end: in at least float32, on the first one's device."""

    params: Sequence[Tensor]
    live: tuple[int, ...]
    dtype: torch.dtype
    rounding: float

    def flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """[n] of what lives here; None is zero."""
        parts = [
            torch.zeros_like(sharding.local(self.params[i])) if t is None else sharding.local(t)
            for i, t in ((i, tensors[i]) for i in self.live)
        ]
        device = parts[0].device
        return torch.cat([part.reshape(-1).to(device, self.dtype) for part in parts])

    def lists(self, vector: Tensor) -> list[Tensor | None]:
        """A tensor for every parameter, placed like it; None where there is no gradient."""
        return [
            None if p is None else sharding.wrap(p, sharding.place(q))
            for p, q in zip(self.locals(vector), self.params, strict=True)
        ]

    def locals(self, vectors: Tensor) -> list[Tensor | None]:
        """As :func:`lists`, of one vector [n] or several [k, n], the parts that live here."""
        found: list[Tensor | None] = [None] * len(self.params)
        sizes = [sharding.local(self.params[i]).numel() for i in self.live]
        for i, part in zip(self.live, vectors.split(sizes, dim=-1), strict=True):
            like = sharding.local(self.params[i])
            found[i] = part.reshape(*vectors.shape[:-1], *like.shape).to(like.device)
        return found

    def dots(self, rows: Tensor, x: Tensor) -> Tensor:
        """Scalar products of [k, n] with [n], over all ranks, in float64 on the host."""
        sizes = [sharding.local(self.params[i]).numel() for i in self.live]
        wide = torch.float32 if x.device.type == "mps" else torch.float64
        pieces = zip(rows.split(sizes, dim=-1), x.split(sizes), strict=True)
        parts = [a.to(wide) @ b.to(wide) for a, b in pieces]
        places = [sharding.place(self.params[i]) for i in self.live]
        if any(places):
            parts = sharding.totals(parts, places, "sum")
        return torch.stack(parts).sum(0).to("cpu", torch.float64)


def space(params: Sequence[Tensor], grads: Sequence[Tensor | None]) -> Space | None:
    """None where nothing has a gradient."""
    live = tuple(i for i, g in enumerate(grads) if g is not None)
    if not live:
        return None
    dtypes = {params[i].dtype for i in live}
    dtype = torch.float32
    for found in dtypes:
        dtype = torch.promote_types(dtype, found)
    return Space(params, live, dtype, max(torch.finfo(found).eps for found in dtypes))
