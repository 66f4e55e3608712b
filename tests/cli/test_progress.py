from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from piste.cli.progress import live
from piste.race import Record
from piste.race.events import Event


def record(status: str = "ok", phase: str = "final", **more) -> Record:
    loss = 1.25 if status == "ok" else None
    return Record("k", "code", "Muon", phase, 0.04, 3, 10, status, loss, **more)


def drawn(*events: Event, weights=None) -> str:
    console = Console(file=StringIO(), width=100, force_terminal=True, color_system=None)
    with live(console, weights or {}) as on_event:
        for event in events:
            on_event(event)
    return console.file.getvalue()


def event(kind: str, **more) -> Event:
    return Event(kind, "k", "code", "Muon", "final", 3, {"lr": 0.04}, steps=10, total=2, **more)


@pytest.mark.parametrize("weights", [{}, {"k": 3.0, "other": 1.0}])
def test_a_run_has_a_bar_while_it_goes_and_a_line_when_it_is_done(weights):
    text = drawn(
        event("started"),
        event("progress", step=5, val_loss=2.5),
        event("finished", record=record(), done=1),
        weights=weights,
    )
    assert "code Muon fresh seed lr 0.04" in text
    assert "1 of 2 runs" in text
    assert re.search(r"code +Muon +seed 3 +1\.25\n", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]| (?=\n)", "", text))


def test_a_failure_says_why_and_other_lengths_are_named():
    assert "diverged: NaN at step 3" in drawn(
        event("finished", record=record("diverged", error="NaN at step 3"))
    )
    assert "seed 3 ×0.5" in drawn(event("finished", record=record(phase="horizon", horizon=0.5)))


def test_events_of_runs_never_seen_to_start_do_no_harm():
    assert "2 of 2 runs" in drawn(
        event("progress", step=1), event("freed"), event("finished", record=record(), done=2)
    )
