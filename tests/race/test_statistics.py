from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from piste.race.statistics import (
    against,
    dunnett_critical,
    pairwise,
    pooled_deviation,
    ranks,
    smallest_detectable,
    tukey_critical,
    unsteady,
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


def test_an_unsteady_entry_does_not_blur_the_others():
    calm = {"ref": [1.0, 1.02, 0.98], "a": [0.9, 0.91, 0.92], "b": [1.2, 1.21, 1.22], "c": [0.5, 0.49, 0.51]}
    groups = {**calm, "wild": [1.0, 3.0, 2.0]}
    apart = unsteady(groups, keep="ref")
    assert apart == {"wild"}
    assert unsteady(calm, keep="ref") == frozenset()
    found = against(groups, "ref", apart)
    assert found["a"].excludes_zero
    assert not against(groups, "ref")["a"].excludes_zero
    assert found["wild"].high - found["wild"].low > 5
    places = {n: r.place for n, r in ranks(groups, apart).items()}
    assert places == {"c": 1, "a": 2, "ref": 3, "b": 4, "wild": None}
    assert ranks(groups, apart)["c"].worst == 2  # whatever the wild one is
    assert ranks({**groups, "wild": [9.0, 11.0, 10.0]}, apart)["wild"].place == 5
    assert (
        unsteady({"ref": groups["wild"], **{n: x for n, x in calm.items() if n != "ref"}}, keep="ref")
        == frozenset()
    )


def test_setting_the_unsteady_apart_keeps_the_coverage_and_sharpens_the_rest():
    rng = np.random.default_rng(6)
    noise = {"ref": 1.0, "a": 1.0, "b": 1.0, "c": 1.0, "wild": 40.0}
    trials, apart_held, pooled_held, calm_held, sharper = 600, 0, 0, 0, 0
    for _ in range(trials):
        groups = {name: list(s * rng.normal(size=3)) for name, s in noise.items()}
        found, plain = against(groups, "ref", unsteady(groups, keep="ref")), against(groups, "ref")
        inside = {name: i.low <= 0 <= i.high for name, i in found.items()}
        apart_held += all(inside.values())
        calm_held += all(inside[name] for name in "abc")
        pooled_held += all(i.low <= 0 <= i.high for i in plain.values())
        sharper += found["a"].high - found["a"].low < 0.5 * (plain["a"].high - plain["a"].low)
    error = 3 * math.sqrt(0.95 * 0.05 / trials)
    assert apart_held / trials > 0.95 - error
    assert calm_held / trials > 0.95 - error
    assert pooled_held / trials < 0.9  # pooling a wild entry covers neither it nor anybody else
    assert sharper / trials > 0.9


def test_entries_alike_are_seldom_set_apart():
    rng = np.random.default_rng(7)
    alike = [unsteady(draw(rng, dict.fromkeys("abcdef", 0.0))) for _ in range(1000)]
    assert sum(map(bool, alike)) <= 8  # the level is 1 in 1000


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
