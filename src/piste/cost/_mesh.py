"""A mesh of ranks that nobody has started, and how it cuts up a tensor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields

from .._registry import unknown

Rank = tuple[int, int]  # coordinates along dp and tp; copies along `replicate` are alike


@dataclass(frozen=True)
class Mesh:
    """Sizes of the axes: ``dp`` shards rows (FSDP2's ``fully_shard``), ``tp`` cuts matrices for tensor parallelism,
    ``replicate`` holds copies of all that (DDP, or HSDP's outer axis)."""

    replicate: int = 1
    dp: int = 1
    tp: int = 1

    def __post_init__(self) -> None:
        for axis in fields(self):
            size = getattr(self, axis.name)
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(
                    f"mesh axis {axis.name!r} needs a whole number of ranks, at least 1, not {size!r}"
                )

    @classmethod
    def parse(cls, text: str) -> Mesh:
        """From ``"dp=64,tp=8"``."""
        sizes: dict[str, int] = {}
        names = [axis.name for axis in fields(cls)]
        for pair in text.split(","):
            name, _, size = (part.strip() for part in pair.partition("="))
            if name not in names:
                raise ValueError(unknown("mesh axis", name, names))
            if name in sizes:
                raise ValueError(f"mesh axis {name!r} is given twice")
            if not size.isascii() or not size.isdigit() or int(size) < 1:
                raise ValueError(
                    f"mesh axis {name!r} needs a whole number of ranks, as in dp=64, not {size!r}"
                )
            sizes[name] = int(size)
        return cls(**sizes)

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self.replicate * self.dp * self.tp

    @property
    def ranks(self) -> Iterator[Rank]:
        """Coordinates of the ranks of one copy."""
        return itertools.product(range(self.dp), range(self.tp))

    def __str__(self) -> str:
        return ", ".join(f"{axis.name}={getattr(self, axis.name)}" for axis in fields(self)
                         if getattr(self, axis.name) > 1) or "dp=1"  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """How a mesh cuts one tensor: tensor parallelism first, along axis ``tp_axis`` (None: not at all), then ``dp``
    the rows that are left. It stands where the engine has the place of a tensor that exists."""

    mesh: Mesh
    shape: tuple[int, ...]
    tp_axis: int | None = None

    @property
    def cut(self) -> tuple[str, ...]:
        """The mesh axes along which the tensor is cut up."""
        tp = self.tp_axis is not None and self.mesh.tp > 1
        return (*(["dp"] if self.mesh.dp > 1 and self.shape else []), *(["tp"] if tp else []))

    @property
    def by_rows(self) -> bool:
        """Whether it is cut along its first axis only, in one piece per rank."""
        return self.cut in ((), ("dp",)) or (self.cut == ("tp",) and self.tp_axis == 0)

    @property
    def axis(self) -> int:
        """Which axis is cut, where one is."""
        return 0 if self.cut == ("dp",) else self.tp_axis or 0

    def part(self, rank: Rank) -> tuple[int, ...]:
        """The shape of what lives at a rank."""
        shape = list(self.shape)
        if "tp" in self.cut:
            shape[self.tp_axis] = chunk(shape[self.tp_axis], self.mesh.tp, rank[1])  # type: ignore[index]
        if "dp" in self.cut:
            shape[0] = chunk(shape[0], self.mesh.dp, rank[0])
        return tuple(shape)


def chunk(n: int, parts: int, i: int) -> int:
    """The length of the i-th of equal chunks, of which the last ones are shorter or empty."""
    length = -(-n // parts)
    return max(0, min(n, (i + 1) * length) - i * length)
