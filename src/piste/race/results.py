"""What a race leaves behind: records of runs, and what is known about the tasks, entries and machines.

Everything here is a frozen dataclass that survives a round trip through JSON. The score and the report
read these and nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Phase = Literal["tune", "final", "horizon"]
Status = Literal["ok", "diverged", "failed"]
Point = tuple[int, float]


@dataclass(frozen=True)
class Record:
    """One full-length run of one entry on one task.

    `phase` is `"tune"` (one seed, one of the learning rates tried), `"final"` (the tuned learning rate on a
    fresh seed) or `"horizon"` (the tuned learning rate with `horizon` times the steps). `val_loss` is the
    last validation loss, None unless `status` is `"ok"`. Curves hold `(step, loss)` and stop at the last
    finite value. `step_seconds` is the time of a whole step measured alone, `optimizer_seconds` the
    optimizer's part of it, `seconds` the wall time of the run (which shared the machine with others).
    `edge` says that the tuned learning rate lies at the edge of what was searched.
    """

    key: str
    task: str
    entry: str
    phase: Phase
    lr: float
    seed: int
    steps: int
    status: Status
    val_loss: float | None = None
    hyper: Mapping[str, Any] = field(default_factory=dict)
    horizon: float = 1.0
    curve: tuple[Point, ...] = ()
    train_curve: tuple[Point, ...] = ()
    step_seconds: float | None = None
    optimizer_seconds: float | None = None
    seconds: float | None = None
    state_bytes: int | None = None
    parameters: int | None = None
    error: str | None = None
    edge: bool = False
    worker: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "ok"


@dataclass(frozen=True)
class TaskInfo:
    """What a report says about a task. `baselines` are validation losses of things that are not entries:
    `{"untrained": 6.93, "unigram": 5.91}`. `control` is a pair (better, worse) of entries."""

    name: str
    description: str
    steps: int
    batch: int
    parameters: int
    data_hash: str
    data: str = ""
    metric: str = "validation loss"
    baselines: Mapping[str, float] = field(default_factory=dict)
    control: tuple[str, str] | None = None
    diagnostic: bool = False


@dataclass(frozen=True)
class EntryInfo:
    """What a report says about an entry: its fixed hyperparameters, its schedule in words, and per task the
    values of each searched hyperparameter (a grid of learning rates, or `(low, high)` of a log-uniform range)."""

    name: str
    summary: str
    schedule: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """A whole race, finished or not. `planned` counts the runs of the plan; `routing[task][entry]` is the
    printed routing table; `protocol` holds mode, learning rates, seeds, threads and the reference entry."""

    records: tuple[Record, ...]
    tasks: Mapping[str, TaskInfo]
    entries: Mapping[str, EntryInfo]
    environment: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    routing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    planned: int = 0

    def select(
        self, task: str | None = None, entry: str | None = None, phase: str | None = None
    ) -> list[Record]:
        """The records that match, in the order of the plan."""
        return [
            r
            for r in self.records
            if task in (None, r.task) and entry in (None, r.entry) and phase in (None, r.phase)
        ]

    def failures(self) -> list[Record]:
        return [r for r in self.records if not r.ok]

    @property
    def complete(self) -> bool:
        return len(self.records) >= self.planned

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Results:
        raw = json.loads(text)
        raw["records"] = tuple(record_from_dict(r) for r in raw["records"])
        raw["tasks"] = {k: _build(TaskInfo, v, control=_pair) for k, v in raw["tasks"].items()}
        raw["entries"] = {k: _build(EntryInfo, v, search=_search) for k, v in raw["entries"].items()}
        return _build(cls, raw)


def record_to_dict(record: Record) -> dict[str, Any]:
    """Plain JSON types; floats come back bit for bit."""
    return asdict(record)


def record_from_dict(raw: Mapping[str, Any]) -> Record:
    """Inverse of `record_to_dict`; unknown keys of a newer version are ignored."""
    return _build(Record, raw, curve=_points, train_curve=_points)


def results_from_plan(plan: Mapping[str, Any], records: Iterable[Record]) -> Results:
    """Records beside what a stored plan says about their race."""
    return Results(
        records=tuple(records),
        tasks={k: _build(TaskInfo, v, control=_pair) for k, v in plan["infos"].items()},
        entries={k: _build(EntryInfo, v, search=_search) for k, v in plan["entry_infos"].items()},
        environment=plan["environment"],
        protocol=plan["protocol"],
        routing=plan["routing"],
        planned=len(plan["trials"]),
    )


def finite(points: Iterable[tuple[int, float]]) -> tuple[Point, ...]:
    """The points before the first NaN or Inf: what a curve may show and JSON may hold."""
    kept: list[Point] = []
    for step, value in points:
        if not math.isfinite(value):
            break
        kept.append((int(step), float(value)))
    return tuple(kept)


def _points(raw: Iterable[Iterable[float]]) -> tuple[Point, ...]:
    return tuple((int(step), float(value)) for step, value in raw)


def _pair(raw: Any) -> Any:
    return None if raw is None else tuple(raw)


def _search(raw: Mapping[str, Mapping[str, Iterable[float]]]) -> dict[str, dict[str, tuple[float, ...]]]:
    return {task: {name: tuple(values) for name, values in space.items()} for task, space in raw.items()}


def _build(kind: Any, raw: Mapping[str, Any], **convert: Any) -> Any:
    known = {f.name for f in fields(kind)}
    return kind(**{k: convert.get(k, lambda v: v)(v) for k, v in raw.items() if k in known})
