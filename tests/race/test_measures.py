from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piste.race.measures import equivalent_steps, performance_profile, rate_sensitivity
from piste.race.statistics import Pooled, dunnett_critical, pooled_deviation

losses = st.floats(0.1, 10, allow_nan=False)
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
