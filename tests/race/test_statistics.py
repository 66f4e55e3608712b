from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from piste.race.statistics import (
    Pooled,
    against,
    dunnett_critical,
    equivalent_steps,
    pairwise,
    performance_profile,
    pooled_deviation,
    ranks,
    rate_sensitivity,
    smallest_detectable,
    tukey_critical,
)

losses = st.floats(0.1, 10, allow_nan=False)
samples = st.lists(losses, min_size=2, max_size=4)
fields = st.dictionaries(st.sampled_from("abcdef"), samples, min_size=2, max_size=6)


def draw(rng: np.random.Generator, means: dict[str, float], seeds: int = 3, noise: float = 1.0):
    return {name: list(mean + noise * rng.normal(size=seeds)) for name, mean in means.items()}


def test_pooled_deviation_is_the_anova_residual():
    groups = {"a": [1.0, 2.0, 4.0], "b": [3.0, 3.5], "c": [7.0]}
    pooled = pooled_deviation(groups)
    residuals = np.concatenate([np.array(x) - np.mean(x) for x in groups.values()])
    assert pooled.freedom == 3
    assert pooled.deviation == pytest.approx(math.sqrt(residuals @ residuals / 3))


def test_dunnett_agrees_with_the_published_table():
    # Dunnett 1955/1964, two-sided 5 %: (comparisons, degrees of freedom) -> critical value
    for k, freedom, value in [(1, 12, 2.18), (2, 6, 2.86), (3, 10, 2.76), (5, 12, 2.90), (9, 20, 2.95)]:
        # Equal group sizes give the correlation 1/2 of the tables; the size itself does not matter.
        assert dunnett_critical((4,) * k, 4, freedom) == pytest.approx(value, abs=0.006)


def test_dunnett_agrees_with_scipy_also_for_unequal_groups():
    rng = np.random.default_rng(1)
    groups = {"ref": rng.normal(size=5), "a": rng.normal(size=3) + 1, "b": rng.normal(size=4) - 1}
    ours = against({k: list(v) for k, v in groups.items()}, "ref")
    theirs = stats.dunnett(groups["a"], groups["b"], control=groups["ref"], rng=0).confidence_interval()
    for i, name in enumerate("ab"):
        assert ours[name].low == pytest.approx(theirs.low[i], abs=5e-3)
        assert ours[name].high == pytest.approx(theirs.high[i], abs=5e-3)


def test_one_comparison_is_a_t_test():
    assert dunnett_critical((3,), 3, 4) == pytest.approx(stats.t.ppf(0.975, 4), abs=1e-4)
    assert tukey_critical(2, 4) / math.sqrt(2) == pytest.approx(stats.t.ppf(0.975, 4), abs=1e-4)


def test_simultaneous_coverage_is_the_nominal_one():
    rng = np.random.default_rng(2)
    truth = {"ref": 1.0, "a": 1.0, "b": 0.5, "c": 3.0, "d": -2.0}
    trials = 1500
    held = {"dunnett": 0, "tukey": 0, "ranks": 0}
    order = sorted(truth.values())
    for _ in range(trials):
        groups = draw(rng, truth)
        held["dunnett"] += all(
            i.low <= truth[n] - truth["ref"] <= i.high for n, i in against(groups, "ref").items()
        )
        held["tukey"] += all(i.low <= truth[a] - truth[b] <= i.high for (a, b), i in pairwise(groups).items())
        held["ranks"] += all(r.best <= order.index(truth[n]) + 1 <= r.worst for n, r in ranks(groups).items())
    error = 3 * math.sqrt(0.95 * 0.05 / trials)
    assert abs(held["dunnett"] / trials - 0.95) < error
    assert abs(held["tukey"] / trials - 0.95) < error
    assert held["ranks"] / trials > 0.95 - error  # conservative by construction


def test_naive_intervals_would_not_cover():
    """The reason for simultaneous intervals: five t-intervals hold together far less often than 95 %."""
    rng = np.random.default_rng(3)
    names, trials, held = "abcde", 800, 0
    for _ in range(trials):
        groups = draw(rng, dict.fromkeys(["ref", *names], 0.0))
        half = stats.t.ppf(0.975, 12) * pooled_deviation(groups).deviation * math.sqrt(2 / 3)
        held += all(abs(np.mean(groups[n]) - np.mean(groups["ref"])) <= half for n in names)
    assert held / trials < 0.9


def test_power_of_the_plan_is_what_was_promised():
    rng = np.random.default_rng(4)
    gap = smallest_detectable(entries=4, seeds=3)
    found = sum(
        against(draw(rng, {"ref": 0, "a": gap, "b": 0, "c": 0}), "ref")["a"].excludes_zero
        for _ in range(1500)
    )
    assert found / 1500 == pytest.approx(0.8, abs=0.035)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_more_seeds_detect_smaller_differences_and_more_entries_larger_ones(seeds):
    assert smallest_detectable(6, seeds + 1) < smallest_detectable(6, seeds)
    assert smallest_detectable(6, seeds, deviation=0.1) == pytest.approx(0.1 * smallest_detectable(6, seeds))
    assert smallest_detectable(12, 5) > smallest_detectable(4, 5)
    assert smallest_detectable(6, 1) == math.inf


@given(fields)
@settings(max_examples=60, deadline=None)
def test_inseparable_entries_share_a_place_and_places_follow_means(groups):
    found = ranks(groups)
    apart = {pair: i.excludes_zero for pair, i in pairwise(groups).items()}
    for (a, b), separate in apart.items():
        if not separate:
            assert found[a].place == found[b].place
            assert found[a].best <= found[b].worst
        elif np.mean(groups[a]) < np.mean(groups[b]):
            assert found[a].place <= found[b].place
    for place in found.values():
        assert 1 <= place.place <= place.best <= place.worst <= len(groups)
    assert min(r.place for r in found.values()) == 1


@given(fields, st.floats(0.5, 4), st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_intervals_move_with_the_units_of_the_loss(groups, scale, shift):
    name = min(groups)
    moved = {n: [scale * x + shift for x in v] for n, v in groups.items()}
    for other, interval in against(groups, name).items():
        again = against(moved, name)[other]
        assert again.mid == pytest.approx(scale * interval.mid, abs=1e-9)
        assert again.low == pytest.approx(scale * interval.low, abs=1e-9)


def test_without_repetitions_nothing_is_told_apart():
    groups = {"a": [1.0], "b": [100.0]}
    assert not any(i.excludes_zero for i in pairwise(groups).values())
    assert all(r.place == 1 and r.shared for r in ranks(groups).values())


def test_well_separated_entries_get_places_of_their_own():
    found = ranks(
        {"a": [1.0, 1.01, 0.99], "b": [2.0, 2.01, 1.99], "c": [2.0, 2.02, 2.0], "d": [9.0, 9.01, 9.0]}
    )
    assert {n: r.place for n, r in found.items()} == {"a": 1, "b": 2, "c": 2, "d": 4}
    assert not found["a"].shared
    assert found["b"].shared
    assert (found["b"].best, found["b"].worst) == (2, 3)


HORIZONS = {0.5: [4.0, 4.0], 1.0: [3.0, 3.0], 2.0: [2.0, 2.0]}
EXACT = Pooled(1e-9, 10)


@pytest.mark.parametrize(
    "loss, multiple", [(4.0, 0.5), (3.0, 1.0), (2.0, 2.0), (2.5, math.sqrt(2)), (3.5, math.sqrt(0.5))]
)
def test_equivalent_steps_interpolate_the_logarithm(loss, multiple):
    assert equivalent_steps([loss] * 2, HORIZONS, EXACT, 3.0).mid == pytest.approx(multiple, rel=1e-3)


def test_equivalent_steps_never_extrapolate():
    assert equivalent_steps([1.9, 1.9], HORIZONS, EXACT, 3.0).mid == math.inf
    assert equivalent_steps([4.1, 4.1], HORIZONS, EXACT, 3.0).mid == 0.0
    wide = equivalent_steps([3.0, 3.0], HORIZONS, Pooled(10.0, 10), 3.0)
    assert (wide.low, wide.high) == (0.0, math.inf)


def test_a_longer_run_that_ends_worse_does_not_count():
    overfits = {0.5: [4.0, 4.0], 1.0: [3.0, 3.0], 2.0: [3.5, 3.5]}
    assert equivalent_steps([3.2, 3.2], overfits, EXACT, 3.0).mid < 1.0
    assert equivalent_steps([2.9, 2.9], overfits, EXACT, 3.0).mid == math.inf


@given(st.lists(losses, min_size=3, max_size=3), losses, st.floats(0.01, 2), st.floats(0, 2))
@settings(max_examples=80, deadline=None)
def test_a_lower_loss_never_means_fewer_equivalent_steps(means, loss, deviation, drop):
    horizons = {m: [x, x, x] for m, x in zip((0.5, 1.0, 2.0), means)}
    pooled = Pooled(deviation, 12)
    here = equivalent_steps([loss] * 3, horizons, pooled, 2.9)
    lower = equivalent_steps([loss - drop] * 3, horizons, pooled, 2.9)
    assert here.low <= here.mid <= here.high
    assert lower.mid >= here.mid
    assert lower.low >= here.low
    assert lower.high >= here.high


def test_equivalent_steps_cover_the_truth():
    rng = np.random.default_rng(5)
    truth, trials, held = 1.3, 600, 0
    curve = {0.5: 4.0, 1.0: 3.0, 2.0: 2.2}
    loss = float(np.interp(math.log(truth), np.log(list(curve)), list(curve.values())))
    for _ in range(trials):
        runs = {m: list(x + 0.1 * rng.normal(size=3)) for m, x in curve.items()}
        mine = {"entry": list(loss + 0.1 * rng.normal(size=3)), "AdamW": runs[1.0]}
        pooled = pooled_deviation({**mine, "half": runs[0.5], "double": runs[2.0]})
        interval = equivalent_steps(mine["entry"], runs, pooled, dunnett_critical((3,), 3, pooled.freedom))
        held += interval.low <= truth <= interval.high
    assert held / trials > 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_performance_profiles_count_tasks_within_a_factor():
    found = performance_profile({"a": [1.0, 4.0], "b": [2.0, 2.0], "c": [math.inf, 2.0]})
    assert found["a"] == [(1.0, 0.5), (2.0, 1.0)]
    assert found["b"] == [(1.0, 0.5), (2.0, 1.0)]
    assert found["c"] == [(1.0, 0.5)]


@given(st.lists(st.lists(losses, min_size=3, max_size=3), min_size=2, max_size=5))
@settings(max_examples=40, deadline=None)
def test_profiles_rise_and_somebody_is_best(table):
    found = performance_profile({str(i): row for i, row in enumerate(table)})
    for points in found.values():
        shares = [share for _, share in points]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
    assert sum(points[0][1] for points in found.values()) >= 1.0 - 1e-12


def test_rate_sensitivity_caps_a_divergence_at_the_untrained_loss():
    assert rate_sensitivity([2.0, 2.0, 2.0], 7.0) == 0.0
    assert rate_sensitivity([2.0, math.inf], 7.0) == pytest.approx(2.5)
    assert rate_sensitivity([2.0, 1e9], 7.0) == pytest.approx(2.5)
