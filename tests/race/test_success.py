"""Whether, how often and when runs succeed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from piste.race.success import criterion, first_success, mean_time, rate, sparsity_error


def test_the_criterion_is_the_error_of_a_solution_moved_by_epsilon():
    assert criterion(lambda w: float(((w - 1) ** 2).sum()), np.ones(7), 1e-3) == pytest.approx(7e-6)
    assert first_success([3.0, math.nan, 1e-9, 1e-8], 7e-6) == 2
    assert first_success([3.0, math.nan], 7e-6) == math.inf


@pytest.mark.parametrize("k, n", [(0, 10), (3, 10), (10, 10), (1, 1), (50, 100)])
def test_the_rate_is_wilsons(k, n):
    found, theirs = rate(k, n), stats.binomtest(k, n).proportion_ci(0.95, "wilson")
    assert (found.low, found.mid, found.high) == pytest.approx((theirs.low, k / n, theirs.high), abs=1e-12)
    with pytest.raises(ValueError, match="share"):
        rate(n + 1, n)


@pytest.mark.parametrize("runs", [5, 20])
def test_the_interval_of_times_covers_the_mean(runs):
    random = np.random.default_rng(0)
    found = [mean_time(random.gamma(2.0, 3.0, runs)) for _ in range(1000)]
    assert 0.93 < np.mean([x.low <= 6.0 <= x.high for x in found]) < 0.97


def test_few_or_equal_times():
    assert mean_time([4.0, 5.0]).high == math.inf
    equal = mean_time([4.0] * 5)
    assert equal.low == equal.mid == equal.high == 4.0
    with pytest.raises(ValueError, match="positive"):
        mean_time([1.0, math.inf])


def test_sparsity_is_the_distance_from_whole_parameters():
    assert sparsity_error(np.array([-1.0, 0.0, 1.0])) == 0
    assert sparsity_error(np.array([-1.0, 0.4, 1.2])) == pytest.approx(0.4)
