"""The parameters of a plan: how each is cut, what is kept of it, and what a step does to it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch

from .._chain import Chain
from .._leaf import RESIDUAL, Leaf, blocks
from .._state import code, slot_bytes
from ._mesh import Cut, Mesh, Rank
from ._work import Work, structures, works

if TYPE_CHECKING:
    from .._optimizer import Optimizer


@dataclass
class Parameter:
    """One parameter with its chain; ``stages``: what a step does to it, one entry per stage."""

    leaf: Leaf
    chain: Chain
    optimizer: str
    storage: Any
    group: int
    cut: Cut
    stages: list[Stage] = field(default_factory=list)

    @property
    def alike(self) -> tuple[Any, ...]:
        """What parameters of equal cost have in common."""
        return self.group, self.cut, self.leaf.param.dtype, self.trained

    @property
    def trained(self) -> bool:
        return self.leaf.given.requires_grad

    @property
    def numel(self) -> int:
        return self.leaf.shape.numel()

    def at(self, rank: Rank) -> Leaf:
        """The part that lives at a rank, as the engine's leaf."""
        part = torch.empty(self.cut.part(rank), dtype=self.leaf.param.dtype, device="meta")
        return self._leaf(part, self.cut if self.cut.cut else None)

    def whole(self) -> Leaf:
        """All of it in one place, as at the owner of a matrix."""
        return self._leaf(torch.empty(self.leaf.shape, dtype=self.leaf.param.dtype, device="meta"), None)

    def _leaf(self, part: torch.Tensor, place: Any) -> Leaf:
        twin = copy.copy(self.leaf)
        twin.param, twin.numel, twin.place, twin.codings = part, part.numel(), place, {}
        code(twin, self.chain, self.storage)
        return twin


@dataclass(frozen=True)
class Stage:
    """A stage of one parameter's chain: its work on each shape of matrix the parameter has, and how many there are."""

    parts: list[tuple[int, Work]]

    @property
    def work(self) -> Work:
        return self.parts[0][1]

    @property
    def kind(self) -> str:
        return self.work.stage.kind

    @property
    def flops(self) -> float:
        return sum(count * work.flops for count, work in self.parts)


def state_here(p: Parameter, leaf: Leaf) -> dict[str, int]:
    """Bytes of state by slot: its codec's parts and those of all its matrices together; of a frozen parameter none."""
    names = {name for name, _, _ in p.chain.slots()}
    found: dict[str, int] = {}
    for name, size in slot_bytes(p.chain, leaf).items() if p.trained else ():
        numbered = name not in names and not name.startswith(RESIDUAL)
        name = name.rpartition(".")[0] if numbered else name
        found[name] = found.get(name, 0) + size
    return found


def weight_bytes(leaf: Leaf, state: Mapping[str, int]) -> int:
    """Bytes of the weight that lives here with what its codec keeps beside it: moved wherever it is read or written."""
    beside = sum(size for name, size in state.items() if name.startswith(RESIDUAL))
    return leaf.numel * leaf.param.element_size() + beside


def parameters(
    optimizer: Optimizer, mesh: Mesh, cuts: Mapping[str, int | None] | None = None
) -> list[Parameter]:
    """The optimizer's parameters on a mesh. Errors (ValueError): parameters that are sharded already, a pattern of
    ``cuts`` that fits nothing, an axis the parameter does not have."""
    found: list[Parameter] = []
    for i, (chain, group, leaves) in enumerate(
        zip(optimizer.chains(), optimizer.param_groups, optimizer.leaves(), strict=True)
    ):
        for leaf in leaves:
            if leaf.place is not None:
                raise ValueError(f"parameter {leaf.name!r} is sharded already: plan with the optimizer of the "
                                 "whole model, made under `with torch.device('meta'):`")  # fmt: skip
            cut = Cut(mesh, tuple(leaf.shape), _tp_axis(leaf, cuts or {}) if mesh.tp > 1 else None)
            found.append(Parameter(leaf, chain, group["optimizer"], group.get("storage"), i, cut))
    _refuse_idle(cuts or {}, found)
    _find_work(found)
    return found


def _tp_axis(leaf: Leaf, cuts: Mapping[str, int | None]) -> int | None:
    """Where tensor parallelism cuts: as ``cuts`` says (the last pattern that fits), else a matrix along its longer side
    (the rows of a projection up, the columns of one down), a vector nowhere."""
    said = [axis for pattern, axis in cuts.items() if fnmatchcase(leaf.name, pattern)]
    axis = said[-1] if said else None if len(leaf.shape) < 2 else int(leaf.shape[1] > leaf.shape[0])
    if axis is not None and not 0 <= axis < len(leaf.shape):
        raise ValueError(f"cuts: parameter {leaf.name!r} of shape {tuple(leaf.shape)} has no axis {axis}")
    return axis


def _refuse_idle(cuts: Mapping[str, int | None], found: Iterable[Parameter]) -> None:
    names = [p.leaf.name for p in found]
    for pattern in cuts:
        if not any(fnmatchcase(name, pattern) for name in names):
            few = ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else "")
            raise ValueError(f"cuts: {pattern!r} fits no parameter; there are {few}")


def _find_work(found: Iterable[Parameter]) -> None:
    """Fill in the stages; matrices of one shape under one chain are worked out once."""
    done: dict[Any, list[Work]] = {}
    often: dict[int, Any] = {}
    for p in found:
        if not p.trained:
            continue
        shapes = [(s[:-2].numel(), s[-2], s[-1]) for s in blocks(p.leaf)]
        each = []
        for count, m, n in shapes:
            key = (p.group, m, n, p.leaf.param.dtype)
            if key not in done:
                if p.group not in often:
                    often[p.group] = structures(p.chain)
                done[key] = works(p.chain, often[p.group], m, n, p.leaf.param.dtype)
            each.append([(count, work) for work in done[key]])
        p.stages = [Stage(list(parts)) for parts in zip(*each, strict=True)]
