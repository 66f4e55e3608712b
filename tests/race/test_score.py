from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piste.race.results import Results
from piste.race.score import profiles, score, score_task
from race.synthetic import HORIZONS, MEANS, STEPS, failed, results


def alter(race: Results, when, change) -> Results:
    return replace(race, records=tuple(change(r) if when(r) else r for r in race.records))


def test_the_truth_of_a_synthetic_race_is_found():
    code = score(results())["code"]
    assert [e.entry for e in code.entries][-1] == "SGD"
    assert {e.entry for e in code.entries[:2]} == {"Muon", "SOAP"}
    assert code["Muon"].rank == code["SOAP"].rank
    assert code["SGD"].rank.place == 6
    assert code["AdamW"].rank.place == code["Lion"].rank.place == 3
    assert code["AdamW"].difference is None
    assert code["AdamW"].speedup is None
    assert code["SGD"].difference.low > 0
    assert code["SOAP"].difference.high < 0
    assert code.admission.admitted
    assert code.admission.control is True
    assert code.detectable == pytest.approx(3.115 * code.pooled.deviation, rel=1e-3)


def test_speedups_come_from_completed_reference_runs():
    scores = score(results(noise=1e-6))
    digits = scores["digits-ae"]
    assert dict.fromkeys(digits.horizons) == dict.fromkeys((0.5, 1.0, 2.0))
    assert digits["Muon"].speedup.low == math.inf  # better than AdamW at twice the steps: at least 2
    assert digits["SGD"].speedup.high == 0.0  # worse than AdamW at half the steps: at most 0.5
    mean, short, full = MEANS["code"]["Lion"], HORIZONS["code"][0.5], MEANS["code"]["AdamW"]
    share = (short - mean) / (short - full)
    assert scores["code"]["Lion"].speedup.mid == pytest.approx(2 ** (share - 1), rel=1e-3)


def test_without_horizons_there_is_no_speedup():
    race = results()
    short = replace(race, records=tuple(r for r in race.records if r.phase != "horizon"))
    assert all(e.speedup is None for e in score(short)["code"].entries)
    assert score(short)["code"]["Muon"].difference is not None


def test_costs_are_measured_alone():
    entry = score(results())["code"]["Muon"]
    assert entry.seconds == pytest.approx(STEPS["code"] * 0.024)
    assert entry.state_bytes == 800_000
    assert entry.optimizer_seconds == pytest.approx(0.002)


def test_a_diverged_fresh_seed_costs_the_rank_and_is_shown():
    race = alter(
        results(), lambda r: r.task == "code" and r.entry == "Muon" and r.key.endswith("final-1/0/2"), failed
    )
    code = score(race)["code"]
    assert code["Muon"].state == "failed"
    assert code["Muon"].rank is None
    assert code["Muon"].loss == math.inf
    assert "1 of 3 fresh-seed runs failed" in code["Muon"].flags
    assert code.entries[-1].entry == "Muon"
    assert code.pooled.freedom == 10


def test_an_entry_that_never_learns_is_failed_and_one_to_come_is_unfinished():
    race = results()
    race = replace(
        race, records=tuple(r for r in race.records if r.phase == "tune" or r.entry not in ("SGD", "Lion"))
    )
    code = score(alter(race, lambda r: r.entry == "SGD", failed))["code"]
    assert code["SGD"].state == "failed"
    assert code["SGD"].flags == ("4 of 4 tuning runs failed",)
    assert code["Lion"].state == "unfinished"
    assert code["AdamW"].state == "ranked"


def test_an_unsteady_entry_is_flagged_and_judged_by_its_own_deviation():
    race = alter(
        results(),
        lambda r: r.entry == "Lion" and r.phase == "final",
        lambda r: replace(r, val_loss=r.val_loss + 0.7 * r.seed),
    )
    code = score(race)["code"]
    assert any("varies far more" in flag for flag in code["Lion"].flags)
    assert code.pooled.deviation < 0.03
    assert code["SOAP"].difference.high < 0
    assert code["Lion"].difference.high - code["Lion"].difference.low > 1


def test_an_optimum_at_the_edge_is_flagged():
    code = score(results())["code"]
    assert any("edge" in flag for flag in code["Lion"].flags)
    assert code["AdamW"].flags == ()


def test_a_task_whose_control_fails_is_a_diagnostic():
    race = alter(
        results(),
        lambda r: r.entry == "SGD" and r.phase == "final",
        lambda r: replace(r, val_loss=r.val_loss - 3),
    )
    found = score(race)["code"].admission
    assert (found.admitted, found.control) == (False, False)
    assert "AdamW ends above SGD" in found.reason


def test_a_task_that_does_not_separate_is_a_diagnostic():
    found = score(results(noise=60.0))["code"].admission
    assert not found.admitted
    assert found.spread < 5
    assert "pooled deviations" in found.reason


def test_a_task_may_call_itself_a_diagnostic():
    race = results()
    tasks = {**race.tasks, "code": replace(race.tasks["code"], diagnostic=True)}
    assert not score(replace(race, tasks=tasks))["code"].admission.admitted


def test_an_empty_race_scores_to_unfinished():
    empty = replace(results(), records=())
    for task in score(empty).values():
        assert {e.state for e in task.entries} == {"unfinished"}
        assert not task.admission.admitted
        assert task.seeds == 0
        assert task.detectable == math.inf
    assert profiles(score(empty)) == {}


def test_a_race_without_its_reference_still_ranks():
    code = score(results(entries=("SGD", "Muon", "SOAP")))["code"]
    assert code["Muon"].rank.place == 1
    assert all(e.difference is None and e.speedup is None for e in code.entries)


def test_one_seed_ranks_nobody():
    code = score(results(seeds=1))["code"]
    assert {e.rank.place for e in code.entries} == {1}
    assert code["SGD"].difference.high == math.inf


def test_profiles_use_admitted_tasks_only():
    race = alter(
        results(),
        lambda r: r.entry == "SGD" and r.phase == "final",
        lambda r: replace(r, val_loss=r.val_loss / 90),
    )
    admitted = score(race)
    assert not admitted["code"].admission.admitted
    assert profiles(admitted)["SOAP"][0][1] == 0.0
    assert profiles(admitted)["SGD"][-1] == (1.0, 1.0)


def test_lr_sensitivity_is_larger_for_a_narrow_optimum():
    race = alter(
        results(),
        lambda r: r.entry == "Muon" and r.phase == "tune" and "/0/0" in r.key,
        lambda r: replace(r, val_loss=r.val_loss + 2),
    )
    code = score(race)["code"]
    assert code["Muon"].sensitivity > 2 * code["SOAP"].sensitivity
    assert [lr for lr, _ in code["Muon"].rates] == sorted(lr for lr, _ in code["Muon"].rates)


@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0.1, 30))
@settings(max_examples=15, deadline=None)
def test_leaderboards_are_ordered_and_consistent(seed, seeds, noise):
    found = score_task(results(seeds=seeds, noise=noise, seed=seed), "code")
    means = [e.loss for e in found.entries]
    places = [e.rank.place for e in found.entries]
    assert means == sorted(means)
    assert places == sorted(places)
    for entry in found.entries:
        if entry.difference:
            assert entry.difference.low < entry.difference.mid < entry.difference.high
            assert entry.difference.mid == pytest.approx(entry.loss - found["AdamW"].loss)


def test_the_score_survives_a_round_trip_through_json():
    race = results()
    assert score(Results.from_json(race.to_json())) == score(race)
