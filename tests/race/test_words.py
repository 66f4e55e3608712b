from __future__ import annotations

import math
from dataclasses import replace

import pytest

from piste.race import words
from piste.race.score import score
from piste.race.statistics import Interval, Pooled, Rank
from race.synthetic import results


@pytest.fixture(scope="module")
def code():
    return replace(score(results())["code"], pooled=Pooled(0.012, 12))


@pytest.mark.parametrize("interval, multiple, bounds, steps", [
    (Interval(1.2, 1.5, 1.9), "1.50×", "1.20×…1.90×", "600"),
    (Interval(1.2, math.inf, math.inf), "≥2×", "1.20×…≥2×", "≥800"),
    (Interval(0.0, 0.0, 0.0), "≤0.5×", "≤0.5×", "≤200"),
])  # fmt: skip
def test_equivalent_steps_are_clipped_where_the_runs_end(code, interval, multiple, bounds, steps):
    assert words.times(interval.mid, code) == multiple
    assert words.bounds(interval, code) == bounds
    assert words.steps(interval, code) == steps


def test_losses_have_two_figures_of_the_deviation(code):
    assert words.loss(4.123456, code) == "4.123"
    assert words.loss(0.123456, replace(code, pooled=Pooled(0.00021, 4))) == "0.12346"
    assert words.loss(4.123456, replace(code, pooled=Pooled(math.nan, 0))) == "4.1235"
    assert words.loss(math.inf, code) == "failed"


def test_differences_carry_a_true_minus_and_nothing_has_no_sign(code):
    assert words.difference(Interval(-0.3, -0.21, -0.1), code) == "−0.210"
    assert words.difference(Interval(-0.3, -0.0001, 0.3), code) == "0.000"
    assert words.difference_bounds(Interval(-0.3, 0.1, 0.5), code) == "−0.300 … +0.500"
    assert words.plus_minus(Interval(-0.3, 0.1, 0.5), code) == "+0.100 ± 0.400"
    assert words.plus_minus(Interval(-math.inf, 0.1, math.inf), code) == "+0.100"
    assert words.difference(None, code) == words.difference_bounds(None, code) == ""


@pytest.mark.parametrize("rank, place, span", [
    (Rank(1, True, 1, 2), "1=", "1–2"),
    (Rank(3, False, 3, 3), "3", "3"),
    (Rank(None, False, 1, 6), "–", "1–6"),
    (None, "–", ""),
])  # fmt: skip
def test_places(rank, place, span):
    assert words.place(rank) == place
    assert words.rank_range(rank) == span


@pytest.mark.parametrize("seconds, text", [
    (None, "–"), (0.84, "0.8 s"), (42, "42 s"), (90, "1.5 min"), (7200, "2.0 h"),
])  # fmt: skip
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    "count, text", [(None, "–"), (12, "12 B"), (303_168, "303 kB"), (1_060_000, "1.06 MB"), (5e9, "5 GB")]
)
def test_sizes(count, text):
    assert words.size(count) == text


def test_the_scale_names_each_task_when_there_are_several():
    told = score(results())
    assert words.scale(told.values()).count("«does not extrapolate»") == 1
    assert words.scale(told.values()).startswith(
        "code: 229,504 parameters, 400 steps of 16, 3 fresh seeds · digits-ae:"
    )
    assert (
        words.scale([told["code"]])
        == "229,504 parameters, 400 steps of 16, 3 fresh seeds · «does not extrapolate»"
    )


def test_verdicts_claim_only_what_is_shown(code):
    assert "Muon and SOAP end lowest" in words.verdict(code)
    assert "AdamW needs at least 2 times the steps to end as low as Muon" in words.verdict(code)
    blurred = score(results(noise=60.0))["code"]
    assert words.verdict(blurred) == (
        "On code no difference between the entries is shown. Nothing is shown to be better than AdamW."
    )
    alone = score(results(entries=("SGD", "Muon")))["code"]
    assert words.verdict(alone).startswith("On code Muon ends lowest, at 4.2")
    assert "AdamW" not in words.verdict(alone)
    empty = score(replace(results(), records=()))["code"]
    assert words.verdict(empty) == "On code no entry has finished its fresh-seed runs."


def test_a_reference_that_was_not_run_longer_is_not_said_to_need_one_times_the_steps(code):
    entries = tuple(
        replace(e, speedup=Interval(math.inf, math.inf, math.inf)) if e.speedup else e for e in code.entries
    )
    short = replace(code, entries=entries, horizons={0.5: (4.6,), 1.0: (4.4,)})
    assert "AdamW does not end as low as Muon at any length that was run." in words.verdict(short)
    longer = replace(short, horizons={1.0: (4.4,), 2.0: (4.3,)})
    assert "AdamW needs at least 2 times the steps" in words.verdict(longer)
