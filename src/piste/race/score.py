"""From the records of a race to what may be said about it: one `TaskScore` per task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

import numpy as np

from .measures import equivalent_steps, performance_profile, rate_sensitivity
from .results import Record, Results, TaskInfo
from .statistics import (
    Interval,
    Pooled,
    Rank,
    against,
    dunnett_critical,
    pooled_deviation,
    ranks,
    smallest_detectable,
    spreads,
    unsteady,
)

SPREAD = 5.0
"""A task separates entries when the best and the worst lie this many pooled deviations apart."""

State = Literal["ranked", "failed", "unfinished"]


@dataclass(frozen=True)
class EntryScore:
    """What one entry did on one task. `loss` is the mean over fresh seeds, infinite for a failed entry.

    `difference` is `loss` minus the reference's, `speedup` the reference's steps to the same loss over the
    task's steps, both with simultaneous bounds; None for the reference itself or where it is missing.
    `seconds` is the task's steps times a step measured alone. `rates` are the tuning runs as `(rate, loss)`, `lengths`
    the losses of completed runs by their length, in multiples of the task's steps.
    """

    entry: str
    state: State
    losses: tuple[float, ...] = ()
    loss: float = math.inf
    rank: Rank | None = None
    difference: Interval | None = None
    speedup: Interval | None = None
    seconds: float | None = None
    step_seconds: float | None = None
    optimizer_seconds: float | None = None
    state_bytes: int | None = None
    rate: float | None = None
    rates: tuple[tuple[float, float], ...] = ()
    sensitivity: float | None = None
    flags: tuple[str, ...] = ()
    lengths: Mapping[float, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Admission:
    """Whether a task says anything about optimizers. `spread` is (worst - best) / pooled deviation."""

    admitted: bool
    spread: float
    control: bool | None
    reason: str


@dataclass(frozen=True)
class TaskScore:
    """The scored entries of a task in the order of its leaderboard; `seeds` is the number of fresh seeds."""

    info: TaskInfo
    entries: tuple[EntryScore, ...]
    pooled: Pooled
    admission: Admission
    reference: str
    seeds: int
    detectable: float
    horizons: Mapping[float, tuple[float, ...]]

    def __getitem__(self, entry: str) -> EntryScore:
        return next(e for e in self.entries if e.entry == entry)


def score(results: Results) -> dict[str, TaskScore]:
    """All tasks of a race, in its order."""
    reference = str(results.protocol.get("reference", "AdamW"))
    return {name: score_task(results, name, reference) for name in results.tasks}


def score_task(results: Results, task: str, reference: str = "AdamW") -> TaskScore:
    """Rank, compare and time the entries of one task."""
    info = results.tasks[task]
    finals = {name: results.select(task, name, "final") for name in results.entries}
    whole = {n: [_loss(r) for r in runs] for n, runs in finals.items() if runs and all(r.ok for r in runs)}
    apart = unsteady(whole, keep=reference)
    pooled = pooled_deviation({name: x for name, x in whole.items() if name not in apart})
    spread = spreads(whole, apart)
    places = ranks(whole, apart) if whole else {}
    compared = against(whole, reference, apart) if reference in whole else {}
    horizons = _lengths(results, task, reference) if reference in whole else {}
    entries = (
        replace(
            _describe(results, info, name, name in apart),
            rank=places.get(name),
            difference=compared.get(name),
            speedup=_speedup(name, whole, horizons, spread[name], reference) if name in whole else None,
        )
        for name in finals
    )
    seeds = max((len(runs) for runs in finals.values()), default=0)
    return TaskScore(
        info=info,
        entries=tuple(sorted(entries, key=_order)),
        pooled=pooled,
        admission=admission(info, whole, pooled),
        reference=reference,
        seeds=seeds,
        detectable=smallest_detectable(len(whole), seeds, pooled.deviation),
        horizons=horizons,
    )


def admission(info: TaskInfo, losses: Mapping[str, Sequence[float]], pooled: Pooled) -> Admission:
    """A task enters the leaderboard when it separates entries and its positive control holds.

    The control is strict: the entry known to be better must not end with the higher mean.
    """
    means = {name: float(np.mean(x)) for name, x in losses.items()}
    spread = math.nan
    if len(means) > 1 and pooled.freedom:
        gap = max(means.values()) - min(means.values())
        spread = gap / pooled.deviation if pooled.deviation else math.copysign(math.inf, gap)
    control = None
    if info.control and all(name in means for name in info.control):
        control = means[info.control[0]] <= means[info.control[1]]
    if info.diagnostic:
        return Admission(False, spread, control, "shown as a diagnostic by the task's own choice")
    if math.isnan(spread):
        return Admission(False, spread, control, "too few finished runs to judge")
    if spread < SPREAD:
        reason = f"best and worst differ by {spread:.1f} pooled deviations, fewer than {SPREAD:g}"
        return Admission(False, spread, control, reason)
    if control is False and info.control:
        reason = f"the positive control fails: {info.control[0]} ends above {info.control[1]}"
        return Admission(False, spread, control, reason)
    return Admission(True, spread, control, f"best and worst differ by {spread:.1f} pooled deviations")


def profiles(scores: Mapping[str, TaskScore]) -> dict[str, list[tuple[float, float]]]:
    """Performance profiles of final losses over the admitted tasks (over all, when none is admitted).

    Tasks with a loss at or below zero have no ratio and are left out, as are tasks nobody finished.
    """
    usable = [s for s in scores.values() if any(e.state == "ranked" for e in s.entries)]
    usable = [s for s in usable if all(e.loss > 0 for e in s.entries)]
    usable = [s for s in usable if s.admission.admitted] or usable
    if not usable:
        return {}
    names = [e.entry for e in usable[0].entries]
    return performance_profile({name: [s[name].loss for s in usable] for name in sorted(names)})


def _loss(record: Record) -> float:
    return record.val_loss if record.ok and record.val_loss is not None else math.inf


def _order(entry: EntryScore) -> tuple[int, float, str]:
    return (("ranked", "failed", "unfinished").index(entry.state), entry.loss, entry.entry)


def _describe(results: Results, info: TaskInfo, name: str, alone: bool) -> EntryScore:
    """What an entry's own runs say, before it is compared with any other."""
    finals = results.select(info.name, name, "final")
    tuning = results.select(info.name, name, "tune")
    losses = tuple(_loss(r) for r in finals)
    seen = finals or tuning
    step = _median(r.step_seconds for r in seen)
    tried = max(len(results.select(info.name, other, "tune")) for other in results.entries)
    hopeless = len(tuning) == tried > 0 and not any(r.ok for r in tuning)
    state: State = "unfinished"
    if losses or hopeless:
        state = "ranked" if losses and all(r.ok for r in finals) else "failed"
    return EntryScore(
        entry=name,
        state=state,
        losses=losses,
        loss=float(np.mean(losses)) if losses else math.inf,
        step_seconds=step,
        seconds=None if step is None else step * info.steps,
        optimizer_seconds=_median(r.optimizer_seconds for r in seen),
        state_bytes=max((r.state_bytes for r in seen if r.state_bytes is not None), default=None),
        rate=finals[0].lr if finals else None,
        rates=_rates(tuning),
        sensitivity=rate_sensitivity([_loss(r) for r in tuning], _ceiling(results, info)) if tuning else None,
        flags=_flags(finals, tuning, alone),
        lengths=_lengths(results, info.name, name),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


def _lengths(results: Results, task: str, name: str) -> dict[float, tuple[float, ...]]:
    """Losses of an entry's completed runs on fresh seeds by their horizon, the shortest first."""
    runs = [r for phase in ("horizon", "final") for r in results.select(task, name, phase) if r.ok]
    multiples = sorted({r.horizon for r in runs})
    return {m: tuple(_loss(r) for r in runs if r.horizon == m) for m in multiples}


def _speedup(
    name: str,
    whole: Mapping[str, Sequence[float]],
    horizons: Mapping[float, Sequence[float]],
    pooled: Pooled,
    reference: str,
) -> Interval | None:
    if name == reference or len(horizons) < 2:
        return None
    sizes = tuple(len(x) for n, x in whole.items() if n != reference)
    critical = dunnett_critical(sizes, len(whole[reference]), pooled.freedom)
    return equivalent_steps(whole[name], horizons, pooled, critical)


def _ceiling(results: Results, info: TaskInfo) -> float:
    """The loss of having learnt nothing: the untrained model's, else the worst finite loss of the task."""
    if "untrained" in info.baselines:
        return float(info.baselines["untrained"])
    return max((_loss(r) for r in results.select(info.name) if r.ok), default=math.inf)


def _rates(tuning: Sequence[Record]) -> tuple[tuple[float, float], ...]:
    """Per learning rate the best loss seen, whatever else was varied beside it."""
    best: dict[float, float] = {}
    for r in tuning:
        best[r.lr] = min(best.get(r.lr, math.inf), _loss(r))
    return tuple(sorted(best.items()))


def _flags(finals: Sequence[Record], tuning: Sequence[Record], alone: bool) -> tuple[str, ...]:
    flags = []
    if alone:
        flags.append("varies far more between seeds than the others, so its own deviation counts")
    if any(r.edge for r in finals):
        flags.append("the best learning rate lies at the edge of those tried")
    for runs, what in ((tuning, "tuning"), (finals, "fresh-seed")):
        bad = sum(not r.ok for r in runs)
        if bad:
            flags.append(f"{bad} of {len(runs)} {what} runs failed")
    return tuple(flags)
