from __future__ import annotations

import itertools
import math

import pytest

from piste import race
from piste.race.entries import factor, grid, space
from piste.race.protocol import Protocol, at_edge, points, quasi_random, trials, winner
from piste.race.results import Record

ENTRY = race.Entry("AdamW", build=lambda *_: None, centres={"general": 1e-2})
OTHER = race.Entry("Lion", build=lambda *_: None, centres={"general": 1e-3}, scheduled=False)


def task(name: str = "t") -> race.Task:
    return race.Task(name, "", lambda: None, lambda: None, lambda: None, steps=100, batch=1)  # type: ignore[arg-type,return-value]


def record(lr: float, loss: float | None) -> Record:
    status = "ok" if loss is not None else "diverged"
    return Record(f"{lr}", "t", "AdamW", "tune", lr, 0, 100, status, loss)


def test_another_seed_gives_other_runs_of_the_same_race():
    ours, theirs = (trials([task()], [ENTRY, OTHER], Protocol(seed=seed)) for seed in (0, 7))
    assert [t.seed + 7 for t in ours] == [t.seed for t in theirs]
    assert [(t.entry, t.phase, t.steps) for t in ours] == [(t.entry, t.phase, t.steps) for t in theirs]
    tuned = {t.seed for t in theirs if t.phase == "tune"}
    assert tuned == {7}
    assert tuned.isdisjoint(t.seed for t in theirs if t.phase != "tune")


def test_default_protocol_lists_four_rates_three_fresh_seeds_and_the_references_horizons():
    listed = trials([task()], [ENTRY, OTHER], Protocol())
    assert len({t.key for t in listed}) == len(listed) == 2 * (4 + 3) + 2 * 3
    tuning = [t for t in listed if t.phase == "tune"]
    assert {t.seed for t in tuning}.isdisjoint(t.seed for t in listed if t.phase != "tune")
    assert {(t.entry, t.horizon, t.steps) for t in listed if t.phase == "horizon"} == {
        ("AdamW", 0.5, 50),
        ("AdamW", 2.0, 200),
    }


def test_grid_is_log_spaced_around_the_centre():
    rates = [p["lr"] for p in grid(ENTRY, "general", 4)]
    assert all(math.isclose(b / a, 2, rel_tol=0.01) for a, b in itertools.pairwise(rates))
    assert math.isclose(math.prod(rates) ** 0.25, 1e-2, rel_tol=0.01)
    many = [p["lr"] for p in grid(ENTRY, "general", 13)]
    assert math.isclose(many[-1] / many[0], 64, rel_tol=0.01) and len(set(many)) == 13
    assert grid(ENTRY, "general", 1) == [{"lr": 1e-2}]


def test_quasi_random_points_repeat_stay_inside_and_cover_the_range():
    drawn = points(task(), ENTRY, Protocol(points=12, sampler="quasi-random"))
    assert drawn == points(task(), ENTRY, Protocol(points=12, sampler="quasi-random"))
    low, high = space(ENTRY, "general")["lr"]
    places = sorted(math.log(p["lr"] / low) / math.log(high / low) for p in drawn)
    assert places[0] >= 0 and places[-1] <= 1 and len(set(places)) == 12
    assert max(b - a for a, b in itertools.pairwise(places)) < 0.25
    assert drawn != quasi_random(space(ENTRY, "general"), 12, "another name")


def test_winner_skips_failures_and_prefers_the_lower_rate_on_a_tie():
    assert winner([record(0.4, 1.0), record(0.1, 2.0), record(0.2, 1.0), record(0.8, None)]).lr == 0.2  # type: ignore[union-attr]
    assert winner([record(0.1, None)]) is None


@pytest.mark.parametrize("sampler", ["grid", "quasi-random"])
def test_only_rates_at_the_ends_are_at_the_edge(sampler):
    rules = Protocol(sampler=sampler)
    rates = (
        [p["lr"] for p in grid(ENTRY, "general", 4)] if sampler == "grid" else [2.6e-3, 6e-3, 1.5e-2, 3.9e-2]
    )
    assert [at_edge(lr, task(), ENTRY, rules) for lr in rates] == [True, False, False, True]


def test_schedules_warm_up_and_only_scheduled_entries_go_to_zero():
    cosine = [factor(ENTRY, s, 100) for s in range(100)]
    constant = [factor(OTHER, s, 100) for s in range(100)]
    assert cosine[:5] == constant[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert max(cosine) == 1.0 and 0 < cosine[-1] < 1e-3 and set(constant[5:]) == {1.0}
    assert cosine[5:] == sorted(cosine[5:], reverse=True)
