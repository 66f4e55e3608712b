"""Equilibria of the largest entropy, and what follows for averages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piste.race.nash import against_tasks, agents

ROCK = np.array([[0.0, 1, -1], [-1, 0, 1], [1, -1, 0]])


def game(size: int, seed: int, whole: bool) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(size, size))
    a = np.round(a) if whole else a
    return a - a.T


@given(st.integers(1, 7), st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_nobody_gains_against_the_equilibrium(size, seed, whole):
    found = agents(game(size, seed, whole))
    assert found.averages.max() <= 1e-9
    assert found.methods.min() >= 0 and found.methods.sum() == pytest.approx(1.0)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_neither_player_gains_on_tasks(methods, tasks, seed, whole):
    s = np.random.default_rng(seed).normal(size=(methods, tasks))
    s = np.round(s) if whole else s
    found = against_tasks(s)
    assert (s @ found.tasks).max() <= found.value + 1e-9
    assert (found.methods @ s).min() >= found.value - 1e-9


def test_cycles_are_uniform_and_the_best_of_a_ladder_has_all():
    np.testing.assert_allclose(agents(ROCK).methods, 1 / 3)
    ladder = np.array([3.0, 1.0, 3.0, 2.0])
    np.testing.assert_allclose(agents(ladder[:, None] - ladder).methods, [0.5, 0, 0.5, 0], atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_copies_change_nothing_where_the_equilibrium_is_unique(seed):
    a, again = game(6, seed, whole=False), [0, 1, 2, 3, 4, 5, 3, 0, 0]
    found, more = agents(a), agents(a[np.ix_(again, again)])
    np.testing.assert_allclose(more.averages[:6], found.averages, atol=1e-9)
    s, again = np.random.default_rng(seed).normal(size=(4, 6)), [0, 1, 2, 3, 4, 5, 5, 1]
    np.testing.assert_allclose(against_tasks(s[:, again]).averages, against_tasks(s).averages, atol=1e-9)


def test_copies_move_averages_where_two_tie():
    """What the paper's theorem leaves out: see the claim of this name."""
    tied = np.array([[0.0, 0, 1], [0, 0, 3], [-1, -3, 0]])
    again = [0, 1, 2, 0]
    assert agents(tied).averages[2] == pytest.approx(-2)
    assert agents(tied[np.ix_(again, again)]).averages[2] == pytest.approx(-5 / 3)


def test_what_is_no_game_is_refused():
    with pytest.raises(ValueError, match="antisymmetric"):
        agents(np.ones((2, 2)))
    with pytest.raises(ValueError, match="square"):
        agents(np.ones((2, 3)))
    with pytest.raises(ValueError, match="missing"):
        against_tasks(np.array([[1.0, np.nan], [0.0, 1.0]]))
