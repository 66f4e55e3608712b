"""Cooldowns that branch off one long run: as if each length had been run by itself."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from piste import checkpoint, race
from piste.race.branching import Branching
from piste.race.entries import entry
from piste.race.report import render
from piste.race.score import score
from piste.race.tasks import find_task
from piste.race.train import train

RULES = race.Protocol(points=2, seeds=2, evaluations=4, cooldown=0.25, horizons=(0.5, 1.5))
NAMES = ["AdamW", "Muon", "ScheduleFreeAdamW"]


def plan(tiny: str, rules: race.Protocol = RULES, workers: int = 1) -> race.Plan:
    return race.plan([tiny], NAMES, protocol=rules, workers=workers)


def seen(results: race.Results) -> dict[str, object]:
    """What must not depend on where a run began."""
    return {r.key: (r.val_loss, r.status, r.lr, r.steps, r.curve[-1]) for r in results.records}


def test_the_rate_is_constant_between_warmup_and_cooldown():
    way = Branching(0.25, warmup=2, stride=10)
    factors = [way.factor(t, 16) for t in range(16)]
    falling = [1 - math.sqrt(k / 4) for k in range(4)]
    assert factors == [0.5, 1.0, *[1.0] * 10, *falling]
    assert way.begins(16) == 12 and way.stops(24) == {10, 20, 24}


@pytest.mark.parametrize("name", NAMES)
def test_a_branch_ends_as_a_run_of_its_own(tiny, tmp_path, name):
    task, racing = find_task(tiny), entry(name)
    share = 0.25 if racing.scheduled else 0.0
    kept, alone = Branching(share, 2, 10, tmp_path / "trunk"), Branching(share, 2, 10)
    for steps in (16, 24, 40, 20):  # the last one between those that have left checkpoints
        found = train(task, racing, {"lr": 0.01}, 1, steps, 4, branching=kept)
        whole = train(task, racing, {"lr": 0.01}, 1, steps, 4, branching=alone)
        assert found.val_loss == whole.val_loss is not None
        assert found.curve[-1] == whole.curve[-1] and found.curve[0] == whole.curve[0]
    assert kept.kept() == {kept.begins(steps) for steps in (16, 24, 40, 20)}


def test_a_damaged_checkpoint_is_passed_over(tiny, tmp_path):
    task, racing, way = find_task(tiny), entry("AdamW"), Branching(0.25, 2, 10, tmp_path)
    first = train(task, racing, {"lr": 0.01}, 1, 20, 4, branching=way)
    train(task, racing, {"lr": 0.01}, 1, 40, 4, branching=way)
    for step, path in checkpoint.listed(tmp_path):
        if step == way.begins(20):
            next(path.glob("*.safetensors")).write_bytes(b"torn")
    with pytest.warns(checkpoint.CheckpointWarning, match="torn|size|bytes|damaged"):
        again = train(task, racing, {"lr": 0.01}, 1, 20, 4, branching=way)
    assert again.val_loss == first.val_loss


def test_every_entry_is_raced_at_every_length_and_later_lengths_are_added(tiny, tmp_path):
    made = plan(tiny)
    lengths = {t.horizon for t in made.trials if t.phase != "tune"}
    assert lengths == {0.5, 1.0, 1.5} and len(made.trials) == 3 * (2 + 2 * 3)
    adamw = [t for t in made.trials if t.entry == "AdamW" and t.seed == 1 and t.phase != "tune"]
    assert [(t.steps, t.begins) for t in adamw] == [(20, 0), (40, 15), (60, 30)]
    found = race.run(made, tmp_path / "race.log")
    assert found.complete and not found.failures()
    folders = sorted((tmp_path / "race.checkpoints/tiny").glob("*/seed-*"))
    assert len(folders) == 6 and all({15, 30} <= {s for s, _ in checkpoint.listed(f)} for f in folders[:2])

    more = race.resume(tmp_path / "race.log", 1, lengths=(0.75,))
    assert more.complete and more.planned == found.planned + 6
    wide = race.run(plan(tiny, replace(RULES, horizons=(0.5, 0.75, 1.5))), tmp_path / "again.log")
    assert seen(more) == seen(wide)
    shown = score(more)["tiny"]["Muon"].lengths
    assert list(shown) == [0.5, 0.75, 1.0, 1.5] and all(len(x) == 2 for x in shown.values())
    page = render(more)
    assert "Final loss by length" in page and "over the last 25%" in page


def test_workers_and_lost_checkpoints_change_nothing(tiny, tmp_path):
    one = race.run(plan(tiny), tmp_path / "one.log")
    two = race.run(plan(tiny, workers=2), tmp_path / "two.log")
    assert seen(one) == seen(two)
    shutil.rmtree(tmp_path / "two.checkpoints")
    assert seen(race.resume(tmp_path / "two.log", 1, lengths=(0.75,))).items() >= seen(two).items()


def test_what_does_not_fit_is_refused_with_the_remedy(tiny, tmp_path):
    with pytest.raises(race.RaceError, match="leave out that length"):
        replace(RULES, horizons=(0.05,))
    with pytest.raises(race.RaceError, match="share of a run"):
        replace(RULES, cooldown=1.0)
    usual = race.plan(
        [tiny], ["AdamW"], protocol=race.Protocol(points=2, seeds=2, horizon_seeds=0), workers=1
    )
    race.run(usual, tmp_path / "usual.log")
    with pytest.raises(race.RaceError, match="does not branch"):
        race.resume(Path(tmp_path / "usual.log"), 1, lengths=(0.5,))
