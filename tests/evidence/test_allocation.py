"""Budgets: halving spends what it is given, brackets are the paper's, and trainings go on where they stopped."""

from __future__ import annotations

import numpy as np
import pytest

from piste.evidence.allocation import (
    Trained,
    bracketing,
    brackets,
    curves,
    hyperband,
    sequential_halving,
)


def order(place, n):
    return 1000 * place + np.arange(n)


def test_brackets_are_those_of_the_papers_table():
    made = brackets(81.0, 3, order)
    assert [len(b.ids) for b in made] == [81, 34, 15, 8, 5]
    assert [b.lengths[0] for b in made] == pytest.approx([1, 3, 9, 27, 81])
    costs = []
    hyperband(lambda ids, length: costs.append(len(ids) * length) or ids, 81.0, 3, order)
    assert sum(costs) == pytest.approx(405 + 363 + 351 + 378 + 405)


def test_without_noise_the_best_arm_is_found():
    means = np.random.default_rng(0).random((50, 33))
    chosen = sequential_halving(means, 33 * 12, np.random.default_rng(1), noise=0.0)
    assert (chosen == means.argmax(1)).all()


def test_a_budget_too_small_for_a_round_is_refused():
    with pytest.raises(ValueError, match="budget"):
        sequential_halving(np.zeros((1, 16)), 20, np.random.default_rng(0))


@pytest.mark.parametrize("budget", [4, 30, 500, 20000])
def test_brackets_of_arms_do_with_any_budget(budget):
    chosen = bracketing(np.random.default_rng(0).random((20, 300)), budget, np.random.default_rng(1))
    assert chosen.shape == (20,) and chosen.min() >= 0 and chosen.max() < 300


def test_training_goes_on_where_it_stopped_and_nothing_is_paid_twice():
    train = Trained(curves(0))
    ids = np.arange(3)
    first = train(ids, 2.0)
    assert train.spent == 6.0
    assert (train(ids, 2.0) == first).all() and train.spent == 6.0
    assert (train(ids, 5.0) < first).all() and train.spent == 15.0


def test_curves_depend_on_the_configuration_alone():
    curve = curves(3)
    assert (curve(np.array([5, 9]), 10.0) == curve(np.arange(10), 10.0)[[5, 9]]).all()
    drawn = curve(np.arange(20000), 1e12)
    assert abs(drawn.mean() - 0.5) < 0.01 and abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.03


def test_a_larger_search_starts_from_the_brackets_of_the_smaller():
    small, large = brackets(27.0, 3, order), brackets(81.0, 3, order)
    for few, many in zip(small, large):
        assert few.lengths == pytest.approx(many.lengths[:-1])
        assert (many.ids[: len(few.ids)] == few.ids).all()
    train = Trained(curves(1))
    hyperband(train, 27.0, 3, order)
    before = train.spent
    hyperband(train, 81.0, 3, order)
    fresh = Trained(curves(1))
    hyperband(fresh, 81.0, 3, order)
    assert train.spent - before < fresh.spent
