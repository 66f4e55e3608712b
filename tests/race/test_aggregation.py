"""Rules of social choice: each by its definition, and what they all must have."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piste.race import aggregation as rules
from piste.race.bradley_terry import duels, newman, zermelo
from piste.race.kemeny import borda_order, disagreement, kemeny, kendall
from piste.race.overall import halfway, overall, standings
from piste.race.score import score
from race.synthetic import results

cells = st.integers(0, 4).map(float)
tables = st.integers(2, 5).flatmap(
    lambda m: st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=m, max_size=m)
    )
)
# of the three, a has most first places, b beats both others, and the mean is c's alone
SPLIT = np.array([[9, 9, 9, 0, 0, 0, 0.0], [5, 5, 5, 9, 9, 5, 5], [0, 0, 0, 5, 5, 9, 900]])


def test_rules_differ_where_they_should():
    assert list(rules.plurality(SPLIT)) == [3, 2, 2]
    assert list(rules.borda(SPLIT)) == [6, 9, 6]
    assert rules.condorcet_winner(SPLIT) == 1
    assert rules.mean(SPLIT).argmax() == 2
    assert list(rules.copeland(SPLIT)) == [-2, 2, 0]
    assert list(rules.minimax(SPLIT)) == [-4 / 7, 0, -5 / 7]
    assert rules.ranking(rules.threshold(SPLIT)) == [3, 1, 2]
    assert list(rules.baldwin(SPLIT)) == [1, 2, 1]


def test_ties_share_the_points_of_their_places():
    x = np.array([[1.0], [1.0], [0.0]])
    assert list(rules.borda(x)) == [1.5, 1.5, 0]
    assert list(rules.dowdall(x)) == [0.75, 0.75, 1 / 3]
    assert list(rules.plurality(x)) == [0.5, 0.5, 0]


@given(tables)
@settings(max_examples=60, deadline=None)
def test_rules_of_places_see_order_only_and_treat_methods_and_tasks_alike(rows):
    x = np.array(rows)
    stretched = x * np.arange(1, x.shape[1] + 1) ** 3 - np.arange(x.shape[1])
    other = np.random.default_rng(0).permutation(len(x))
    for name, rule in rules.RULES.items():
        if name != "mean":
            np.testing.assert_allclose(rule(stretched), rule(x))
        np.testing.assert_allclose(rule(x[other]), rule(x)[other], atol=1e-9)
        np.testing.assert_allclose(rule(x[:, ::-1]), rule(x), atol=1e-9)


@given(tables)
@settings(max_examples=60, deadline=None)
def test_who_is_first_on_every_task_is_first_by_every_rule(rows):
    x = np.vstack([np.array(rows), np.full(len(rows[0]), 9.0)])
    for name, places in overall(x).items():
        assert places[-1] == 1 and places.count(1) == 1, name


@given(tables)
@settings(max_examples=40, deadline=None)
def test_the_consensus_is_the_best_of_all_orders_and_bordas_within_five_times(rows):
    x = np.array(rows)
    found = disagreement(kemeny(x), x)
    assert found == min(disagreement(o, x) for o in itertools.permutations(range(len(x))))
    assert disagreement(borda_order(x), x) <= 5 * found


def test_missing_scores_are_named_and_pairwise_rules_do_without():
    x = SPLIT.copy()
    x[1, 2] = math.nan
    with pytest.raises(ValueError, match=r"method 1 on task 2 is missing.*copeland"):
        rules.borda(x)
    assert list(rules.copeland(x)) == [-2, 2, 0]
    assert set(overall(x)) == {"mean", "Copeland", "minimax", "Kemeny", "Bradley–Terry"}
    x[1] = math.nan
    with pytest.raises(ValueError, match="method 1 has no score"):
        overall(x)
    with pytest.raises(ValueError, match="methods × tasks"):
        rules.mean(np.zeros(3))


def test_kendall_counts_contradicted_pairs():
    assert kendall([0, 1, 2, 3], [0, 1, 2, 3]) == 0
    assert kendall([0, 1, 2, 3], [3, 2, 1, 0]) == 6
    assert disagreement([1, 0], np.array([[1.0, 1.0, 2.0], [0.0, 1.0, 3.0]])) == 1
    with pytest.raises(ValueError, match="borda_order"):
        kemeny(np.zeros((20, 2)))


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_both_iterations_find_the_maximum_of_the_likelihood(prior):
    w = np.random.default_rng(0).integers(1, 9, (6, 6)) * (1.0 - np.eye(6))
    fast, slow = (method(w, tolerance=1e-13, prior=prior) for method in (newman, zermelo))
    assert fast.converged and slow.converged and fast.sweeps < slow.sweeps
    np.testing.assert_allclose(fast.strengths, slow.strengths, rtol=1e-8)
    if not prior:
        p = fast.strengths
        expected = ((w + w.T) * p[:, None] / (p[:, None] + p)).sum(1)
        np.testing.assert_allclose(expected, w.sum(1), rtol=1e-8)


def test_strengths_without_a_bound_are_refused():
    w = duels(np.array([[1.0, 1.0, 3.0], [0.0, 0.0, 2.0]]))
    with pytest.raises(ValueError, match="never lost"):
        newman(w)
    assert newman(w, prior=1.0).strengths[0] > 1
    with pytest.raises(ValueError, match="square"):
        newman(np.zeros((2, 3)))


def test_standings_of_a_race_hold_every_rule_and_failures_are_last():
    race = results()
    found = standings(score(race))
    assert set(found) == {*rules.RULES, "Kemeny", "Bradley–Terry"}
    for of in found.values():
        assert of["SGD"] == max(of.values()) and min(of["Muon"], of["SOAP"]) == 1
    one = replace(race, tasks={"code": race.tasks["code"]})
    assert standings(score(one)) == {}
    assert standings(score(replace(race, records=()))) == {}


def test_half_of_the_run_is_held_against_its_end():
    race = results()
    task = score(race)["code"]
    found = halfway(race, task)
    assert found is not None and found[0] == 0 and found[1] == 15

    def early(r):  # SGD ahead while it lasts
        return (
            tuple((s, 0.0 if 0 < s <= r.steps / 2 else x) for s, x in r.curve)
            if r.entry == "SGD"
            else r.curve
        )

    turned = replace(race, records=tuple(replace(r, curve=early(r)) for r in race.records))
    assert halfway(turned, task) == (5, 15, "SGD", found[3])
    assert halfway(replace(race, records=tuple(replace(r, curve=()) for r in race.records)), task) is None
