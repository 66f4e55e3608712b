from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch

from piste import race
from piste.race.planning import fit, plan_from_dict, plan_to_dict
from piste.race.task import build
from piste.race.train import state_bytes, train


def test_a_plan_costs_what_its_runs_cost_and_says_what_it_can_see(tiny):
    plan = race.plan([tiny], ["AdamW", "Lion"], workers=1)
    assert len(plan.trials) == 2 * (4 + 3) + 6
    assert plan.estimate > sum(plan.seconds(t) for t in plan.trials) > 0
    half, double = (next(t for t in plan.trials if t.horizon == h) for h in (0.5, 2.0))
    assert plan.seconds(half) < plan.seconds(double)
    deviations, loss = plan.detectable("tiny")
    assert 1 < deviations < 10 and math.isclose(loss or 0, 0.01 * deviations)
    info = plan.infos["tiny"]
    assert (
        info.parameters == 6 * 8 + 8 + 8 * 2 + 2
        and len(info.data_hash) == 64
        and info.baselines["untrained"] > 0
    )
    assert plan.routing["tiny"]["AdamW"].count("weight") >= 2


def test_a_plan_survives_json_and_two_plans_of_the_same_race_agree(tiny):
    plan = race.plan([tiny], ["AdamW", "Lion"], workers=1)
    again = plan_from_dict(json.loads(json.dumps(plan_to_dict(plan))))
    assert again.fingerprint == plan.fingerprint == race.plan([tiny], ["AdamW", "Lion"]).fingerprint
    assert again.trials == plan.trials and again.costs == plan.costs
    assert race.plan([tiny], ["AdamW"]).fingerprint != plan.fingerprint


def test_minutes_take_the_richest_protocol_that_fits(tiny):
    plan = race.plan([tiny], ["AdamW", "Lion"], workers=1)
    rich, poor = fit(plan, 3600.0), fit(plan, 60 * _minutes(plan, 3, 2, 0))
    assert (rich.protocol.points, rich.protocol.seeds) == (12, 10)
    assert (poor.protocol.points, poor.protocol.seeds, poor.protocol.horizon_seeds) == (3, 2, 0)
    with pytest.raises(race.RaceError, match=r"no plan fits into 0.0001 minutes.*give --minutes"):
        fit(plan, 0.006)


def _minutes(plan: race.Plan, points: int, seeds: int, horizon_seeds: int) -> float:
    from dataclasses import replace

    rules = replace(plan.protocol, points=points, seeds=seeds, horizon_seeds=horizon_seeds)
    return replace(plan, protocol=rules).estimate / 0.9 / 60 + 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ["cod"]}, "unknown task 'cod'; did you mean 'code'"),
        ({"tasks": ["digits-ae"], "entries": ["lyon"]}, "unknown entry 'lyon'; did you mean 'Lion'"),
        (
            {"tasks": ["digits-ae"], "entries": ["family:adaptiv"]},
            "unknown family 'adaptiv'; did you mean 'adaptive'",
        ),
        ({"tasks": ["nowhere.py"]}, "'nowhere.py' does not exist"),
        ({"tasks": []}, "at least one task"),
        ({"tasks": ["digits-ae"], "entries": []}, "at least one entry"),
        ({"tasks": ["digits-ae"], "entries": ["Lion", "lion"]}, "entry 'Lion' is given twice"),
        ({"tasks": ["digits-ae"], "entries": ["Lion"], "workers": 0}, "--workers must be at least 1"),
    ],
)
def test_what_cannot_be_planned_is_said_with_a_remedy(arguments, message):
    with pytest.raises(race.RaceError, match=message.replace("(", r"\(")):
        race.plan(**arguments)


def test_a_family_races_together_and_none_of_it_twice():
    plan = race.plan(tasks=["digits-ae"], entries=["family:averaged", "lookaheadsgd", "SGD"])
    names = [e.name for e in plan.entries]
    assert names == ["LookaheadAdamW", "ScheduleFreeAdamW", "ScheduleFreeSGD", "LookaheadSGD", "SGD"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "raised ZeroDivisionError"),
        ("def f(:", "raised SyntaxError"),
        ("x = 1", "defines no `task`"),
        ("task = 3", "defines `task` as int"),
        (None, r"task 'tiny': data\(\) raised OSError: gone"),
    ],
)
def test_a_task_file_that_fails_is_named(tmp_path: Path, tiny, text, message):
    if text is None:
        text = Path(tiny).read_text().replace("    generator =", "    raise OSError('gone')\n    generator =")
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(race.RaceError, match=message):
        race.plan([str(path)], ["AdamW"])


def test_data_that_differ_from_the_stored_race_are_refused(tiny):
    raw = plan_to_dict(race.plan([tiny], ["AdamW"]))
    raw["infos"]["tiny"]["data_hash"] = "0" * 64
    with pytest.raises(race.RaceError, match="task 'tiny' has other data here"):
        plan_from_dict(raw)


def test_a_run_repeats_bit_for_bit_and_reports_every_evaluation(tiny):
    task, entry = race.find_task(tiny), race.entry("AdamW")
    seen = []
    first = train(task, entry, {"lr": 0.01}, 1, 40, 4, lambda *said: seen.append(said))
    torch.rand(3)
    again = train(task, entry, {"lr": 0.01}, 1, 40, 4)
    assert (first.curve, first.train_curve, first.val_loss) == (
        again.curve,
        again.train_curve,
        again.val_loss,
    )
    assert (
        [s for s, _, val in seen if val is not None] == [10, 20, 30, 40] == [s for s, _ in first.train_curve]
    )
    assert first.curve[0][0] == 0 and first.val_loss == first.curve[-1][1] < first.curve[0][1]
    assert first.state_bytes and state_bytes(object()) is None


def test_divergence_is_an_outcome_with_a_reason(tiny):
    task = race.find_task(tiny)
    uphill = race.Entry(
        "Up", lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr, maximize=True), {"general": 1.0}
    )
    blown = train(task, uphill, {"lr": 0.1}, 1, 40, 4)
    assert (blown.status, blown.val_loss) == ("diverged", None) and "training loss ended at" in (
        blown.error or ""
    )
    broken = train(task, uphill, {"lr": 1e9}, 1, 40, 4)
    assert broken.status == "diverged" and re.search(r"became (inf|nan) at step \d of 40", broken.error or "")
    assert all(math.isfinite(loss) for _, loss in broken.curve)


def test_importing_the_race_loads_neither_optuna_nor_scikit_learn():
    import subprocess
    import sys

    heavy = {"optuna", "sklearn", "scipy", "matplotlib"}
    code = f"import sys, piste.race; print({heavy} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
    )


def test_a_race_in_another_precision_is_another_race_and_its_journal_says_so(tiny, tmp_path):
    plain = race.plan([tiny], ["SGD"], workers=1)
    coarse = race.plan([tiny], ["SGD"], workers=1, precision="mxfp4")
    assert coarse.fingerprint != plain.fingerprint and "in mxfp4" in coarse.infos["tiny"].description
    kept = json.loads(json.dumps(plan_to_dict(coarse)))
    assert kept["tasks"][0]["precision"] == "mxfp4"
    again = plan_from_dict(kept)
    assert again.tasks[0].precision == "mxfp4" and again.fingerprint == coarse.fingerprint
    assert type(build(again.tasks[0], 0)[0]).__name__ == "MXFP4Linear"

    storage = tmp_path / "coarse.journal"
    first = race.run(coarse, storage)
    exact = race.run(plain, tmp_path / "plain.journal")
    assert all(r.ok for r in first.records) and first.records[0].val_loss != exact.records[0].val_loss
    assert race.resume(storage, workers=1).records == first.records
    with pytest.raises(race.RaceError, match="another race"):
        race.run(plain, storage)


def test_journals_from_before_precisions_resume(tiny):
    kept = plan_to_dict(race.plan([tiny], ["SGD"], workers=1))
    for task in kept["tasks"]:
        del task["precision"]
    assert plan_from_dict(kept).tasks[0].precision == ""


def test_an_unknown_precision_is_refused(tiny):
    with pytest.raises(race.RaceError, match="did you mean 'mxfp4'"):
        race.plan([tiny], ["SGD"], precision="mxfp8")
    with pytest.raises(ValueError, match="unknown precision"):
        race.Task("t", "", lambda: None, lambda: None, lambda: None, 1, 1, precision="fp3")
