"""Do runs of a race until none is left."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from . import store as storage
from .branching import Branching
from .entries import WARMUP, Entry
from .errors import RaceError
from .events import Event, OnEvent
from .planning import Plan
from .protocol import Trial, at_edge, points, winner
from .results import Record
from .store import Owner, Store
from .train import Outcome, train

BEAT_SECONDS = 10.0
POLL_SECONDS = 0.3
PROGRESS_SECONDS = 0.2


class _TakenAwayError(Exception):
    """Another worker thought this one dead and has its run now."""


@dataclass
class _Pulse:
    """What the heartbeat thread found out."""

    taken: bool = False
    error: RaceError | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        if self.error:
            raise self.error
        if self.taken:
            raise _TakenAwayError


def work(plan: Plan, store: Store, on_event: OnEvent = lambda event: None) -> None:
    """Claim, run and record until every run of the plan is done, by this worker or another.

    Two runs never depend on which worker does them: threads and seeds are the plan's.
    """
    torch.set_num_threads(plan.protocol.threads)
    listed = plan.trials
    while True:
        for key in storage.reclaim(store):
            on_event(Event("freed", key))
        done = storage.records(store)
        if all(t.key in done for t in listed):
            return
        if not _take_one(plan, store, listed, done, on_event):
            time.sleep(POLL_SECONDS)


def _take_one(
    plan: Plan, store: Store, listed: Sequence[Trial], done: Mapping[str, Record], on_event: OnEvent
) -> bool:
    """Do the first run that is ready and free; False when there is none at the moment."""
    for trial in listed:
        if trial.key in done or not _ready(plan, trial, done):
            continue
        chosen = _hyper(plan, trial, done)
        claimed = storage.claim(store, trial.key, chosen or {})
        if claimed is not None:
            _do(plan, store, trial, chosen, claimed, len(done), on_event)
            return True
    return False


def _do(
    plan: Plan,
    store: Store,
    trial: Trial,
    hyper: dict[str, float] | None,
    claimed: int,
    done: int,
    on_event: OnEvent,
) -> None:
    said: dict[str, Any] = dict(
        key=trial.key, task=trial.task, entry=trial.entry, phase=trial.phase, seed=trial.seed, hyper=hyper or {},
        steps=trial.steps, worker=str(Owner.here()), total=len(plan.trials),
    )  # fmt: skip
    on_event(Event("started", done=done, **said))
    try:
        with _heartbeat(store, claimed) as pulse:
            outcome = _outcome(plan, store, trial, hyper, claimed, pulse, on_event, {**said, "done": done})
        record = _record(plan, trial, hyper, outcome)
        if not storage.finish(store, claimed, record):
            return
    except _TakenAwayError:
        return
    except BaseException:
        storage.give_up(store, claimed)
        raise
    on_event(Event("finished", record=record, step=trial.steps, done=done + 1, **said))


def _outcome(
    plan: Plan,
    store: Store,
    trial: Trial,
    hyper: dict[str, float] | None,
    claimed: int,
    pulse: _Pulse,
    on_event: OnEvent,
    said: dict[str, Any],
) -> Outcome:
    """The run itself; what the model, the data or the optimizer raise is an outcome, not an error of the race."""
    if hyper is None:
        return _failed(f"not run: none of the {plan.protocol.points} tuning runs finished")
    last = 0.0

    def report(step: int, train_loss: float, val_loss: float | None) -> None:
        nonlocal last
        pulse.check()
        if val_loss is not None and not storage.note(store, claimed, step, val_loss):
            raise _TakenAwayError
        if val_loss is not None or time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            on_event(Event("progress", step=step, train_loss=train_loss, val_loss=val_loss, **said))

    task, entry = plan.task(trial.task), plan.entry(trial.entry)
    began = time.perf_counter()
    try:
        branching = _branching(plan, store, trial, hyper)
        return train(
            task, entry, hyper, trial.seed, trial.steps, plan.protocol.evaluations, report, branching
        )
    except (RaceError, _TakenAwayError):
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return _failed(f"{type(error).__name__}: {error} ({place})", time.perf_counter() - began)


def _branching(plan: Plan, store: Store, trial: Trial, hyper: Mapping[str, float]) -> Branching | None:
    """How a run is cut into what all lengths share and its own cooldown. The shared part lies beside the journal, in a
    folder whose name tells apart whatever it depends on."""
    rules, task, entry = plan.protocol, plan.task(trial.task), plan.entry(trial.entry)
    if not rules.cooldown:
        return None
    warmup, stride = max(1, round(WARMUP * task.steps)), max(1, round(task.steps / rules.evaluations))
    made_of = [
        plan.infos[task.name].data_hash,
        task.batch,
        repr(entry.fixed),
        hyper,
        warmup,
        stride,
        rules.threads,
    ]
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
    folder = store.jsonl.with_suffix(".checkpoints") / task.name / entry.name / f"seed-{trial.seed}-{digest}"
    share = rules.cooldown if entry.scheduled else 0.0
    return Branching(share, warmup, stride, None if trial.phase == "tune" else folder)


def _record(plan: Plan, trial: Trial, hyper: dict[str, float] | None, outcome: Outcome) -> Record:
    cost = plan.costs.get(trial.task, {}).get(trial.entry)
    lr = hyper["lr"] if hyper else 0.0
    tuned = hyper is not None and trial.phase != "tune"
    entry: Entry = plan.entry(trial.entry)
    return Record(
        key=trial.key,
        task=trial.task,
        entry=trial.entry,
        phase=trial.phase,
        lr=lr,
        seed=trial.seed,
        steps=trial.steps,
        status=outcome.status,
        val_loss=outcome.val_loss,
        hyper={k: v for k, v in (hyper or {}).items() if k != "lr"},
        horizon=trial.horizon,
        curve=outcome.curve,
        train_curve=outcome.train_curve,
        step_seconds=cost.step if cost else None,
        optimizer_seconds=cost.optimizer if cost else None,
        seconds=outcome.seconds,
        state_bytes=outcome.state_bytes,
        parameters=outcome.parameters or None,
        error=outcome.error,
        edge=tuned and at_edge(lr, plan.task(trial.task), entry, plan.protocol),
        worker=str(Owner.here()),
    )


def _failed(error: str, seconds: float = 0.0) -> Outcome:
    return Outcome("failed", None, (), (), seconds, None, 0, error)


def _ready(plan: Plan, trial: Trial, done: Mapping[str, Record]) -> bool:
    """Whether all that a run depends on is known."""
    if trial.choice is not None:
        return True
    return all(key in done for key in _tuning_keys(plan, trial)) and trial.after in (None, *done)


def _hyper(plan: Plan, trial: Trial, done: Mapping[str, Record]) -> dict[str, float] | None:
    """A tuning run's own point, otherwise the best point tuning found; None if it found none."""
    listed = points(plan.task(trial.task), plan.entry(trial.entry), plan.protocol)
    if trial.choice is not None:
        return listed[trial.choice]
    keys = _tuning_keys(plan, trial)
    best = winner([done[key] for key in keys])
    return None if best is None else listed[keys.index(best.key)]


def _tuning_keys(plan: Plan, trial: Trial) -> list[str]:
    return [f"{trial.task}/{trial.entry}/tune/{i}" for i in range(plan.protocol.points)]


@contextmanager
def _heartbeat(store: Store, claimed: int) -> Iterator[_Pulse]:
    """Say every BEAT_SECONDS that the run goes on, from a thread of its own."""
    pulse = _Pulse()

    def beat() -> None:
        count = 0
        while not pulse.stop.wait(BEAT_SECONDS):
            count += 1
            try:
                pulse.taken = not storage.beat(store, claimed, count)
            except RaceError as error:
                pulse.error = error

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        pulse.stop.set()
        thread.join()
