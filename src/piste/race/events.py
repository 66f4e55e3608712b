"""What a race tells while it runs; a terminal or a notebook draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .results import Record, record_from_dict

Kind = Literal["started", "progress", "finished", "freed"]


@dataclass(frozen=True)
class Event:
    """A run has `started`, made `progress` (`step` of `steps`, the losses of that step), `finished` (with its
    record), or was `freed` because its worker is gone. `done` of `total` runs of the race are finished."""

    kind: Kind
    key: str
    task: str = ""
    entry: str = ""
    phase: str = ""
    seed: int = 0
    hyper: Mapping[str, float] = field(default_factory=dict)
    step: int = 0
    steps: int = 0
    train_loss: float | None = None
    val_loss: float | None = None
    record: Record | None = None
    worker: str = ""
    done: int = 0
    total: int = 0


OnEvent = Callable[[Event], None]


def event_to_dict(event: Event) -> dict[str, Any]:
    return asdict(event)


def event_from_dict(raw: Mapping[str, Any]) -> Event:
    record = raw["record"]
    return Event(**{**raw, "record": record and record_from_dict(record)})
