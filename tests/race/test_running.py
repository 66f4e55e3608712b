from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from piste import race
from piste.race.journal import read_lines
from piste.race.results import Results

DEADLY = """
import os
if os.environ.get("DEADLY"):
    task = race.Task(**{**task.__dict__, "loss": lambda *_: os._exit(9)})
"""

RULES = race.Protocol(points=2, seeds=2, horizon_seeds=1, evaluations=4)
PLANNED = 2 * (2 + 2) + 2

SCRIPT = """
import sys
from piste import race
rules = race.Protocol(points=2, seeds=2, horizon_seeds=1, evaluations=4)
race.run(race.plan([sys.argv[1]], ["AdamW", "Lion"], protocol=rules, workers=1), sys.argv[2])
"""


def plan(tiny: str, workers: int = 1) -> race.Plan:
    return race.plan([tiny], ["AdamW", "Lion"], protocol=RULES, workers=workers)


def seen(results: Results) -> list[race.Record]:
    """What must not depend on how the race was run."""
    return [
        replace(r, seconds=None, step_seconds=None, optimizer_seconds=None, worker="")
        for r in results.records
    ]


@pytest.fixture
def whole(tiny, tmp_path) -> Results:
    return race.run(plan(tiny), tmp_path / "whole.log")


def test_a_race_runs_every_trial_once_and_tells_what_happens(tiny, tmp_path):
    events: list[race.Event] = []
    found = race.run(plan(tiny), tmp_path / "race.log", events.append)
    assert found.complete and found.planned == PLANNED and not found.failures()
    assert Results.from_json(found.to_json()) == found == race.results(tmp_path / "race.log")
    kinds = Counter(e.kind for e in events)
    assert kinds["started"] == kinds["finished"] == PLANNED and kinds["progress"] >= 4 * PLANNED
    assert [e.done for e in events if e.kind == "finished"] == list(range(1, PLANNED + 1))
    finals = found.select("tiny", "Lion", "final")
    tuned = min(found.select("tiny", "Lion", "tune"), key=lambda r: r.val_loss or 9)
    assert {r.lr for r in finals} == {tuned.lr} and all(r.edge for r in finals) and len(finals) == 2
    assert finals[0].state_bytes and finals[0].step_seconds and finals[0].parameters == 74
    assert [line["key"] for line in read_lines(tmp_path / "race.jsonl")] == [r.key for r in found.records]


def test_running_a_finished_race_again_repeats_nothing(tiny, tmp_path, whole):
    events: list[race.Event] = []
    assert race.run(plan(tiny), tmp_path / "whole.log", events.append) == whole and not events
    with pytest.raises(race.RaceError, match="holds another race"):
        race.run(race.plan([tiny], ["AdamW"], protocol=RULES), tmp_path / "whole.log")


def test_killed_at_any_moment_and_resumed_it_ends_like_an_uninterrupted_race(tiny, tmp_path, whole):
    slow = slowed(tiny)
    journal = tmp_path / "killed.log"
    done = 0
    for growth in (12, 40):
        done = kill_after(slow, journal, growth)
        assert done < PLANNED
    Path(slow).write_text(Path(tiny).read_text())
    events: list[race.Event] = []
    resumed = race.resume(journal, 1, events.append)
    assert sum(e.kind == "finished" for e in events) == PLANNED - done, "a finished run was repeated"
    assert sum(e.kind == "freed" for e in events) <= 1, "more than the running trial was lost"
    assert seen(resumed) == seen(whole)
    lines = read_lines(tmp_path / "killed.jsonl")
    assert Counter(line["key"] for line in lines) == Counter(r.key for r in whole.records)


def slowed(tiny: str) -> str:
    """The same task in a file of another name, taking its time."""
    path = Path(tiny).with_name("slow.py")
    slow = "lambda model, x, y: __import__('time').sleep(0.002) or F.mse_loss(model(x), y)"
    path.write_text(Path(tiny).read_text().replace("lambda model, x, y: F.mse_loss(model(x), y)", slow))
    return str(path)


def kill_after(task: str, journal: Path, growth: int) -> int:
    """Start (or go on with) the race, kill -9 once its journal has grown by so many lines; runs finished then."""
    before = journal.read_bytes().count(b"\n") if journal.exists() else 0
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, task, str(journal)], env=os.environ)
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < before + growth:
        assert process.poll() is None and time.monotonic() < deadline, (
            "the race ended before it could be killed"
        )
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(journal, "ab") as file:  # and the power went while it wrote
        file.write(b'{"op_code": 8, "worker')
    return len(race.results(journal).records)


def test_worker_processes_and_a_second_race_share_the_runs(tiny, tmp_path, whole):
    journal = tmp_path / "shared.log"
    slow = slowed(tiny)
    second = subprocess.Popen([sys.executable, "-c", SCRIPT, slow, str(journal)])
    events: list[race.Event] = []
    found = race.run(plan(slow, workers=2), journal, events.append)
    assert second.wait() == 0
    assert seen(found) == seen(whole)
    lines = read_lines(tmp_path / "shared.jsonl")
    assert Counter(line["key"] for line in lines) == Counter({r.key: 1 for r in whole.records})
    assert len({r.worker for r in found.records}) >= 2
    assert {e.key for e in events if e.kind == "finished"} <= {r.key for r in found.records}


def test_a_database_serves_as_well(tiny, tmp_path, whole):
    url = f"sqlite:///{tmp_path}/race.db"
    assert seen(race.run(plan(tiny), url, jsonl=tmp_path / "db.jsonl")) == seen(whole)


def test_a_full_disk_stops_the_race_and_loses_nothing_finished(tiny, tmp_path, whole):
    journal = tmp_path / "full.log"
    made = plan(tiny)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "whole.log").stat().st_size // 2, hard))
    try:
        with pytest.raises(race.RaceError, match=r"no space left.*--resume"):
            race.run(made, journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = race.results(journal)
    assert 0 < len(kept.records) < PLANNED and journal.read_bytes().endswith(b"\n")
    assert seen(race.run(made, journal)) == seen(whole)


def test_what_an_entry_raises_is_recorded_and_the_race_goes_on(tiny, tmp_path):
    def broken(model, lr):
        raise RuntimeError("no such luck")

    bad = race.Entry("Bad", broken, {"general": 1.0})
    found = race.run(race.plan([tiny], ["AdamW", bad], protocol=RULES), tmp_path / "race.log")
    assert found.complete and {r.entry for r in found.failures()} == {"Bad"}
    tuned, final = found.select(entry="Bad", phase="tune")[0], found.select(entry="Bad", phase="final")[0]
    assert "RuntimeError: no such luck (test_running.py:" in (tuned.error or "")
    assert final.error == "not run: none of the 2 tuning runs finished"


def test_an_object_cannot_be_sent_to_workers_but_can_race_here(tiny, tmp_path, whole):
    task = race.find_task(tiny)
    with pytest.raises(race.RaceError, match="lives in this process only"):
        race.plan([task], ["AdamW", "Lion"], workers=2)
    made = race.plan([task], ["AdamW", "Lion"], protocol=RULES)
    assert made.workers == 1 and seen(race.run(made, tmp_path / "object.log")) == seen(whole)
    with pytest.raises(race.RaceError, match="given as an object"):
        race.resume(tmp_path / "object.log")


def test_a_worker_that_dies_leaves_a_message_and_a_race_that_can_go_on(tiny, tmp_path, whole):
    path = Path(tiny).with_name("deadly.py")
    path.write_text(Path(tiny).read_text() + DEADLY)
    made = plan(str(path), workers=2)
    os.environ["DEADLY"] = "1"
    try:
        with pytest.raises(
            race.RaceError, match=r"2 worker processes failed and 10 runs are left: .* code 9"
        ):
            race.run(made, tmp_path / "deadly.log")
    finally:
        del os.environ["DEADLY"]
    assert seen(race.resume(tmp_path / "deadly.log", 1)) == seen(whole)
