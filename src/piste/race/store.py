"""The shared memory of a race: one Optuna study whose trials are the runs of the plan.

A run is claimed by adding a RUNNING trial that carries the run's key. Trials are numbered in one order that all
workers see, and of the living trials of a key the first is the one that counts; a worker whose trial is not the
first gives it up. Nothing is locked while a run goes on, so no claim outlives its worker: a trial whose owner is gone
(its process has ended, or, elsewhere, its heartbeat has stopped) is marked FAIL and the key is free again. A trial is
done once it carries a record.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from .errors import RaceError
from .journal import JournalFile, append_lines, file_lock, storage_error
from .owner import Owner
from .results import Record, record_from_dict, record_to_dict

STUDY = "piste-race"
PART = 30_000  # characters of the plan per attribute: some databases hold no more than 64 kB in one
LEASE = 60.0  # seconds without a heartbeat after which a worker on another machine counts as gone

_held: set[tuple[str, int]] = (
    set()
)  # runs this process is at; one it could not give up (full disk) is not among them


@dataclass(frozen=True)
class Store:
    """An open storage. `beats` remembers when this process last saw each foreign trial's heartbeat move."""

    url: str
    study: int
    optuna: Any
    jsonl: Path
    guard: AbstractContextManager[Any] = field(default_factory=nullcontext)
    beats: dict[int, tuple[int, float]] = field(default_factory=dict)


def open_store(storage: str | Path, *, create: bool = True, jsonl: Path | None = None) -> Store:
    """Open (or begin) the race in a journal file, or in a database given as a SQLAlchemy URL.

    `jsonl` is where finished runs are also written as JSON lines: by default beside the journal, or
    `race.jsonl` in the working directory for a database.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = str(storage)
    with _explained(url):
        if "://" in url:
            backend, guard = _database(url)
        else:
            backend, guard = _journal(Path(url), create)
        study = _study(backend, url, create)
    beside = Path(url).with_suffix(".jsonl") if "://" not in url else Path("race.jsonl")
    return Store(url, study, backend, jsonl or beside, guard)


def save_plan(store: Store, identity: str, plan: Mapping[str, Any]) -> None:
    """Store the plan, or check that the one already there asks for the same runs."""
    with store.guard, _explained(store.url):
        kept = store.optuna.get_study_user_attrs(store.study)
        if "fingerprint" not in kept:  # written last: without it the plan is not whole
            _write_plan(store, identity, plan)
            return
    if kept["fingerprint"] != identity:
        raise RaceError(
            f"storage {store.url} holds another race (other tasks, entries or protocol); go on with that one "
            "by --resume alone, or choose another --storage"
        )


def replace_plan(store: Store, identity: str, plan: Mapping[str, Any]) -> None:
    """Put a plan that asks for more in the place of the stored one; what has run stays."""
    with store.guard, _explained(store.url):
        _write_plan(store, identity, plan)


def _write_plan(store: Store, identity: str, plan: Mapping[str, Any]) -> None:
    text = json.dumps(plan)
    parts = [text[i : i + PART] for i in range(0, len(text), PART)]
    for i, part in enumerate(parts):
        store.optuna.set_study_user_attr(store.study, f"plan/{i}", part)
    store.optuna.set_study_user_attr(store.study, "parts", len(parts))
    store.optuna.set_study_user_attr(store.study, "fingerprint", identity)


def load_plan(store: Store) -> dict[str, Any]:
    """The stored plan as plain JSON."""
    with _explained(store.url):
        kept = store.optuna.get_study_user_attrs(store.study)
    if "fingerprint" not in kept:
        raise RaceError(f"storage {store.url} holds no race yet; start one without --resume")
    return json.loads("".join(kept[f"plan/{i}"] for i in range(kept["parts"])))


def records(store: Store) -> dict[str, Record]:
    """Finished runs by key."""
    with _explained(store.url):
        return {key: record for key, (_, record) in _living(store).items() if record is not None}


def claim(store: Store, key: str, hyper: Mapping[str, float]) -> int | None:
    """Take a run; None if another worker has it or has done it. Returns the trial's id."""
    with store.guard, _explained(store.url):
        if key in _living(store):
            return None
        trial = store.optuna.create_new_trial(store.study, _template(key, hyper))
        if _living(store)[key][0] == trial:
            _held.add((store.url, trial))
            return trial
        give_up(store, trial)
        return None


def beat(store: Store, trial: int, count: int) -> bool:
    """Say that the run goes on; False when it was taken away (this process was thought dead)."""
    return _write(store, lambda: store.optuna.set_trial_user_attr(trial, "beat", count))


def note(store: Store, trial: int, step: int, val_loss: float) -> bool:
    """Append one evaluation of a run; False when the run was taken away."""
    return _write(store, lambda: store.optuna.set_trial_intermediate_value(trial, step, val_loss))


def finish(store: Store, trial: int, record: Record) -> bool:
    """Append a finished run to the study and to the JSON lines; False when it was taken away."""
    from optuna.trial import TrialState

    _held.discard((store.url, trial))

    def write() -> None:
        store.optuna.set_trial_user_attr(trial, "record", json.dumps(record_to_dict(record), allow_nan=False))
        state, values = (TrialState.COMPLETE, [record.val_loss]) if record.ok else (TrialState.FAIL, None)
        store.optuna.set_trial_state_values(trial, state, values)

    if not _write(store, write):
        return False
    with file_lock(store.jsonl):
        append_lines(store.jsonl, [record_to_dict(record)])
    return True


def give_up(store: Store, trial: int) -> bool:
    """Free a run without a result; False when it has been finished or freed already."""
    from optuna.trial import TrialState

    _held.discard((store.url, trial))

    return _write(store, lambda: store.optuna.set_trial_state_values(trial, TrialState.FAIL))


def reclaim(store: Store) -> list[str]:
    """Free the runs whose workers are gone; returns their keys."""
    from optuna.trial import TrialState

    freed = []
    with _explained(store.url):
        running = store.optuna.get_all_trials(store.study, states=(TrialState.RUNNING,))
    for trial in running:
        done = "record" in trial.user_attrs  # killed between its record and its state: keep the record
        if not done and _gone(store, trial) and give_up(store, trial._trial_id):
            freed.append(trial.user_attrs["key"])
    return freed


def export(store: Store, listed: list[Record]) -> None:
    """Write the JSON lines anew, whole or not at all."""
    with file_lock(store.jsonl):
        fresh = store.jsonl.with_name(store.jsonl.name + ".new")
        try:
            fresh.write_text(
                "".join(json.dumps(record_to_dict(r), separators=(",", ":")) + "\n" for r in listed)
            )
            os.replace(fresh, store.jsonl)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise storage_error(store.jsonl, error) from error


def _living(store: Store) -> dict[str, tuple[int, Record | None]]:
    """Per key the first trial that is running or has a record, with that record."""
    from optuna.trial import TrialState

    found: dict[str, tuple[int, Record | None]] = {}
    for trial in sorted(store.optuna.get_all_trials(store.study, deepcopy=False), key=lambda t: t._trial_id):
        raw = trial.user_attrs.get("record")
        if raw is None and trial.state != TrialState.RUNNING:
            continue
        found.setdefault(
            trial.user_attrs["key"], (trial._trial_id, raw and record_from_dict(json.loads(raw)))
        )
    return found


def _template(key: str, hyper: Mapping[str, float]) -> Any:
    import optuna

    wide = optuna.distributions.FloatDistribution(1e-12, 1e12, log=True)
    owner = Owner.here()
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=dict(hyper),
        distributions=dict.fromkeys(hyper, wide),
        user_attrs={"key": key, "owner": [owner.place, owner.pid, owner.started]},
    )


def _gone(store: Store, trial: Any) -> bool:
    """Whether a trial's owner has ended: asked of this machine's processes, or by watching the heartbeat."""
    owner = Owner(*trial.user_attrs["owner"])
    alive = (store.url, trial._trial_id) in _held if owner == Owner.here() else owner.alive()
    if alive is not None:
        return not alive
    count, now = trial.user_attrs.get("beat", 0), time.monotonic()
    seen, since = store.beats.get(trial._trial_id, (None, now))
    if seen != count:
        store.beats[trial._trial_id] = (count, now)
        return False
    return now - since > LEASE


def _write(store: Store, call: Any) -> bool:
    from optuna.exceptions import UpdateFinishedTrialError

    with _explained(store.url):
        try:
            call()
        except UpdateFinishedTrialError:
            return False
    return True


def _journal(path: Path, create: bool) -> tuple[Any, AbstractContextManager[Any]]:
    from optuna.storages.journal import BaseJournalBackend, JournalStorage

    if not create and not path.exists():
        raise RaceError(f"there is no race at {path}; check --storage, or start one without --resume")
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(cast(BaseJournalBackend, JournalFile(path))), file_lock(Path(f"{path}.claim"))


def _database(url: str) -> tuple[Any, AbstractContextManager[Any]]:
    """SQLite knows no row locks, so a lock file stands in for them; a server needs none."""
    import optuna

    guard: AbstractContextManager[Any] = nullcontext()
    if url.startswith("sqlite:///"):
        guard = file_lock(Path(url.removeprefix("sqlite:///")))
    with guard:  # two processes that create the tables at once would fail
        return optuna.storages.RDBStorage(url), guard


def _study(backend: Any, url: str, create: bool) -> int:
    from optuna.exceptions import DuplicatedStudyError
    from optuna.study import StudyDirection

    try:
        return backend.get_study_id_from_name(STUDY)
    except KeyError:
        if not create:
            raise RaceError(f"storage {url} holds no race yet; start one without --resume") from None
    try:
        return backend.create_new_study([StudyDirection.MINIMIZE], STUDY)
    except DuplicatedStudyError:  # another process was faster
        return backend.get_study_id_from_name(STUDY)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Storage trouble as a RaceError with a remedy."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OSError, StorageInternalError, SQLAlchemyError, ModuleNotFoundError) as error:
        raise storage_error(url, error) from error
