"""Run a plan, go on with one that was interrupted, and read what a storage holds."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import torch

from .environment import cores
from .errors import RaceError
from .events import Event, OnEvent, event_from_dict
from .planning import Plan, costs_from_dict, plan_from_dict, plan_to_dict
from .results import Results, results_from_plan
from .store import Store, export, load_plan, open_store, records, replace_plan, save_plan
from .worker import work

GRACE = 5.0  # seconds a worker process gets to end by itself


def run(
    plan: Plan, storage: str | Path, on_event: OnEvent = lambda event: None, jsonl: Path | None = None
) -> Results:
    """Do all runs of `plan` that `storage` does not hold yet, and return everything it holds then.

    The same plan on the same storage continues it, after a crash or beside other processes and machines.
    Raises RaceError if the storage is unusable or full, holds another race, or if workers died.
    """
    store = open_store(storage, jsonl=jsonl)
    save_plan(store, plan.fingerprint, plan_to_dict(plan))
    return _go(plan, store, on_event)


def resume(
    storage: str | Path,
    workers: int | None = None,
    on_event: OnEvent = lambda event: None,
    jsonl: Path | None = None,
    lengths: Sequence[float] = (),
) -> Results:
    """Continue, or join, the race that `storage` holds; its plan is stored with it.

    To a race whose runs branch off one long run `lengths` more may be added: each begins at the last checkpoint before
    its cooldown. Errors (RaceError): lengths for another race, or too short ones.
    """
    store = open_store(storage, create=False, jsonl=jsonl)
    plan = plan_from_dict(load_plan(store))
    if lengths:
        if not plan.protocol.cooldown:
            raise RaceError(
                f"the race in {store.url} does not branch, it takes no lengths: begin one with --branch"
            )
        plan = replace(plan, protocol=replace(plan.protocol, horizons=(*plan.protocol.horizons, *lengths)))
        replace_plan(store, plan.fingerprint, plan_to_dict(plan))
    most = max(1, cores() // plan.protocol.threads)
    return _go(replace(plan, workers=most if workers is None else workers), store, on_event)


def results(storage: str | Path) -> Results:
    """What a storage holds so far, in the order of the plan. Needs neither the tasks nor their data."""
    return _results(open_store(storage, create=False))


def _go(plan: Plan, store: Store, on_event: OnEvent) -> Results:
    kept = load_plan(store)
    plan = replace(plan, costs=costs_from_dict(kept))  # one set of step times for all machines
    export(store, list(_results(store).records))
    before = torch.get_num_threads()
    try:
        if plan.workers > 1:
            _processes(plan, store, on_event)
        else:
            work(plan, store, on_event)
    finally:
        torch.set_num_threads(before)
    done = _results(store)
    export(store, list(done.records))
    return done


def _results(store: Store) -> Results:
    kept, done = load_plan(store), records(store)
    return results_from_plan(kept, [done[key] for key in kept["trials"] if key in done])


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    reader: threading.Thread

    def complaint(self) -> str:
        """The last words of a worker that failed."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self.process.returncode}"


def _processes(plan: Plan, store: Store, on_event: OnEvent) -> None:
    """Run worker processes and pass their events on until all have ended."""
    events: queue.Queue[Event | None] = queue.Queue()
    done = len(records(store))
    with _started(plan, store, events) as workers:
        running = len(workers)
        while running:
            event = events.get()
            if event is None:
                running -= 1
                continue
            done += event.kind == "finished"
            on_event(replace(event, done=max(done, event.done)))
        failed = [w.complaint() for w in workers if w.process.wait()]
    missing = sum(t.key not in records(store) for t in plan.trials)
    if missing and failed:
        raise RaceError(f"{len(failed)} worker processes failed and {missing} runs are left: {failed[0]}")


@contextmanager
def _started(plan: Plan, store: Store, events: queue.Queue[Event | None]) -> Iterator[list[_Worker]]:
    workers = [_start(plan, store, events) for _ in range(plan.workers)]
    try:
        yield workers
    finally:
        for worker in workers:
            assert worker.process.stdin is not None
            worker.process.stdin.close()  # a worker ends with its standard input
        for worker in workers:
            try:
                worker.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
            worker.reader.join()
            worker.errors.close()


def _start(plan: Plan, store: Store, events: queue.Queue[Event | None]) -> _Worker:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 -- read and closed when the worker has ended
    environment = os.environ | {
        "OMP_NUM_THREADS": str(plan.protocol.threads),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "piste.race", store.url, str(store.jsonl)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment,
    )  # fmt: skip
    reader = threading.Thread(target=_listen, args=(process, events), daemon=True)
    reader.start()
    return _Worker(process, errors, reader)


def _listen(process: subprocess.Popen[bytes], events: queue.Queue[Event | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            events.put(event_from_dict(json.loads(line)))
        except ValueError:  # the last line of a killed worker may be torn
            continue
    process.stdout.close()
    events.put(None)
