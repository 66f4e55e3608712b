"""What can be merged: checkpoints on disk, modules and state dicts in memory, all seen alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from .files import Checkpoint, tied
from .writing import Row


class Source(Protocol):
    """The tensors of one model: what there is, and each when it is asked for, or a ``cut`` of its elements as a vector.
    Tied names share one tensor."""

    name: str
    ties: list[tuple[str, ...]]

    @property
    def rows(self) -> Mapping[str, Row]: ...

    def read(self, name: str, cut: slice | None = None) -> Tensor: ...


class InMemory:
    """A state dict."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        bad = next((n for n, t in tensors.items() if not isinstance(t, Tensor)), None)
        if bad is not None:
            raise TypeError(
                f"{name}: {bad!r} is no tensor but {type(tensors[bad]).__name__}: give a state dict"
            )
        self.name, self.tensors = name, tensors
        self.rows = {n: Row(tuple(t.shape), t.dtype) for n, t in tensors.items()}
        self.ties = tied(tensors)

    def read(self, name: str, cut: slice | None = None) -> Tensor:
        t = self.tensors[name].detach()
        return (t if cut is None else t.reshape(-1)[cut]).cpu()


def source(given: str | Path | Mapping[str, Tensor] | nn.Module, name: str) -> Source:
    """``name`` is what messages call it, where it has no path."""
    if isinstance(given, nn.Module):
        return InMemory(given.state_dict(), name)
    if isinstance(given, Mapping):
        return InMemory(given, name)
    return Checkpoint(given)
