"""Claims: what may be declared, how verdicts are found, and a sample of those there are."""

from __future__ import annotations

import math

import pytest
import torch

import piste
from piste.evidence import (
    at_least,
    at_most,
    between,
    check,
    claim,
    claims,
    descend,
    equal,
    ledger,
    problems,
    sabotaged,
    verify,
)
from piste.evidence.claim import Claim, _claims
from piste.evidence.problem import Problem
from piste.evidence.running import run
from piste.evidence.tuning import steps_to, tuned
from piste.evidence.verdict import interval, judge

pytestmark = pytest.mark.usefixtures("no_trace")
BELOW_ONE = at_most(1.0)


def made(values, predicts=BELOW_ONE, tolerance=0.0, **more) -> Claim:
    """A claim whose numbers are given, by seed."""
    values = iter(values)

    @claim(
        "SGD",
        "A Paper",
        kind="theorem",
        predicts=predicts,
        tolerance=tolerance,
        wrong=int,
        **{"in_mean": True, **more},
    )
    def something(method, seed):
        """It holds."""
        return next(values)

    return something


@pytest.mark.parametrize(
    ("values", "predicts", "tolerance", "verdict"),
    [
        ([0.5, 0.51, 0.49], at_most(1.0), 0.0, "confirmed"),
        ([1.5, 1.51, 1.49], at_most(1.0), 0.0, "not confirmed"),
        ([0.8, 1.2, 1.0], at_most(1.0), 0.0, "inconclusive"),
        ([1.0 + 1e-10], at_most(1.0), 1e-9, "confirmed"),
        ([1.0 + 1e-10], at_most(1.0), 0.0, "not confirmed"),
        ([2.0, 2.0], at_least(1.5), 0.0, "confirmed"),
        ([0.1, 0.1], equal(0.0), 0.2, "confirmed"),
        ([0.3, 0.3], equal(0.0), 0.2, "not confirmed"),
        ([0.3, 0.4, 0.35], between(0.0, 1.0), 0.0, "confirmed"),
        ([math.inf], at_least(0.0), 0.0, "not confirmed"),
        ([math.nan, 0.0], at_most(1.0), 0.0, "not confirmed"),
    ],
)
def test_the_interval_decides(values, predicts, tolerance, verdict):
    assert judge(made([], predicts, tolerance), values) == verdict


def test_the_interval_is_students():
    low, mid, high = interval([1.0, 2.0, 3.0, 4.0])
    half = 5.840909 * math.sqrt(5 / 3) / 2  # t of 3 degrees of freedom at 99.5 %
    assert (
        mid == 2.5
        and math.isclose(high - mid, half, rel_tol=1e-6)
        and math.isclose(mid - low, half, rel_tol=1e-6)
    )
    assert interval([7.0]) == (7.0, 7.0, 7.0)


def test_where_every_instance_counts_one_is_enough_to_refute():
    assert judge(made([], in_mean=False), [0.5, 0.9, 1.0]) == "confirmed"
    assert judge(made([], in_mean=False), [0.5, 0.9, 1.1]) == "not confirmed"


def test_a_verdict_that_other_seeds_do_not_share_is_inconclusive():
    finding = run(made([0.5, 1.5], seeds=1))
    assert finding.verdict == "inconclusive" and "two threads" in finding.note


def test_settings_are_put_back_and_seeds_are_apart():
    seen = []

    @claim("SGD", "A Paper", kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=int, seeds=2)
    def looking(method, seed):
        """It looks around."""
        seen.append((seed, torch.get_num_threads(), torch.backends.mkldnn.enabled, float(torch.rand(()))))
        return 0.0

    before, state = torch.get_num_threads(), torch.get_rng_state()
    assert run(looking).verdict == "confirmed"
    assert [s[:3] for s in seen] == [(0, 1, True), (1, 1, True), (1000, 2, False), (1001, 2, False)]
    assert len({s[3] for s in seen}) == 4
    assert torch.get_num_threads() == before and torch.equal(torch.get_rng_state(), state)


def test_what_raises_is_an_error_with_its_message():
    finding = run(made([]))
    assert finding.verdict == "error" and "StopIteration" in finding.note and finding.seen is None


def test_what_needs_hardware_is_not_run():
    assert run(made([], hardware="a GPU")).verdict == "needs hardware"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tolerance": None}, "tolerance"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"predicts": between(-math.inf, math.inf)}, "every number"),
        ({"kind": "rumour"}, "kind"),
        ({"cost": "dear"}, "cost"),
        ({"kind": "empirical"}, "scale"),
        ({"kind": "empirical", "scale": "small", "seeds": 2}, "seeds"),
        ({"wrong": None}, "wrong"),
    ],
)
def test_a_bad_declaration_is_refused_with_its_name(change, said):
    good = {"kind": "theorem", "predicts": at_most(1.0), "tolerance": 0.0, "wrong": int}
    with pytest.raises(ValueError, match=f"'something'.*{said}"):

        @claim("SGD", "A Paper", **{**good, **change})
        def something(method, seed):
            """It holds."""
            return 0.0


def test_a_claim_without_a_statement_is_refused():
    with pytest.raises(ValueError, match="statement"):

        @claim("SGD", "A Paper", kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=int)
        def silent(method, seed):
            return 0.0


def test_claims_are_found_by_name_method_and_paper():
    (one,) = claims(["lion_enters_its_box_geometrically"])
    assert one in claims(["lion"]) and one in claims([one.paper])
    with pytest.raises(KeyError, match="Lion"):
        claims(["Lyon"])
    with pytest.raises(KeyError, match="no claims yet"):
        claims(["lookahead"])


@pytest.mark.parametrize("name", [c.name for c in claims() if c.cost == "quick"][::12])
def test_a_sample_of_claims_ends_as_the_ledger_says_and_can_fail(name):
    (one,) = claims([name])
    (finding,) = verify([one])
    assert finding.verdict == ledger.read()[name]["verdict"], finding
    assert sabotaged(one) == "not confirmed"


def test_the_ledger_speaks_of_all_claims_as_they_are_and_of_no_others():
    rows = ledger.read()
    old = [c.name for c in claims() if rows.get(c.name, {}).get("code") != ledger.code_of(c)]
    assert not old, "make verify-full renews the ledger"
    assert set(rows) == set(_claims)
    gullible = [name for name, row in rows.items() if row["sabotaged"] != row["code"]]
    assert not gullible, "`piste verify --cost full --stale --sabotage --write` tries their wrong methods"


PROBLEMS = {
    "quadratic": lambda: problems.quadratic(),
    "noisy quadratic": lambda: problems.noisy_quadratic(),
    "affine quadratic": lambda: problems.affine_quadratic(),
    "least squares": lambda: problems.least_squares(noise=1.0),
    "interpolation": lambda: problems.least_squares(),
    "logistic": lambda: problems.logistic(),
    "Rosenbrock": lambda: problems.rosenbrock(),
    "wavy": lambda: problems.wavy(),
    "absolute": lambda: problems.absolute(),
    "phase retrieval": lambda: problems.phase_retrieval(),
    "phase retrieval with outliers": lambda: problems.phase_retrieval(outliers=0.1),
    "a bent link": lambda: problems.bent_regression(),
    "diabetes": lambda: problems.table(weight=0.02),
    "tumors": lambda: problems.table("tumors"),
    "lasso": lambda: problems.lasso(),
    "wide lasso": lambda: problems.lasso(10, 16, seed=3),
    "least absolute deviations": lambda: problems.least_absolute(),
    "least absolute deviations with a ridge": lambda: problems.least_absolute(strength=0.5),
    "Nesterov's worst function": lambda: problems.worst_smooth(),
    "the largest coordinate": lambda: problems.worst_lipschitz(),
    "ReLU network": lambda: problems.relu_network(),
    "Poisson": lambda: problems.poisson(),
    "lifted dictionary": lambda: problems.lifted_dictionary(),
    "acyclic regression": lambda: problems.acyclic_regression(),
    "rectified filter": lambda: problems.rectified_filter(),
    "pooled filter": lambda: problems.pooled_filter(),
    "covariance of a deep linear network": lambda: problems.covariance_network(),
    "matrix sensing": lambda: problems.matrix_sensing(),
    "matrix seen whole": lambda: problems.matrix_sensing(rows=0, rank=2),
    "equilibrium": lambda: problems.equilibrium(),
    "tempered equilibrium": lambda: problems.equilibrium(temperature=0.5),
    "matrix completion": lambda: problems.matrix_completion(),
    "asymmetric factors": lambda: problems.asymmetric_factors(),
    "robust sensing": lambda: problems.robust_sensing(),
    "a dictionary on the sphere": lambda: problems.sphere_dictionary(),
    "graph drawing": lambda: problems.graph_drawing(),
    "modular addition": lambda: problems.modular_addition(),
    "an operator": lambda: problems.operator_network(),
    "sparse recovery": lambda: problems.sparse_recovery(),
    "splines": lambda: problems.spline_poisson(),
    "an infinite well": lambda: problems.infinite_well(),
    "a finite well": lambda: problems.finite_well(),
    "valley": lambda: problems.valley(),
    "linear system": lambda: problems.linear_system(),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_facts_of_problems_hold(name):
    check(PROBLEMS[name]())


START = torch.ones(3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"minimum": 0.1, "minimizer": torch.zeros(3, dtype=torch.float64)}, "at the minimizer"),
        ({"minimum": 0.1}, "somewhere"),
        ({"smoothness": 0.5}, "L is said"),
        ({"strength": 1.5}, "μ is said"),
        ({"minimum": 0.0, "pl": 2.0}, "PL"),
        ({"lipschitz": 0.1}, "gradients"),
        ({"weak": -2.0}, "-ρ of weak convexity"),
        ({"minimum": 0.0, "minimizer": torch.zeros(3, dtype=torch.float64), "quasar": 2.0001}, "quasar"),
        ({"symmetries": {"a shift": lambda x: x + 1}}, "a shift"),
        (
            {"draw": lambda x, random: 0.5 * x.square().sum() + 0.1 + torch.rand((), generator=random) * 0.1},
            "standard errors",
        ),
    ],
)
def test_a_problem_whose_facts_are_wrong_is_refused(facts, said):
    with pytest.raises(ValueError, match=f"'bowl'.*{said}"):
        check(Problem("bowl", lambda x: 0.5 * x.square().sum(), START, **facts))


def test_a_ledger_is_written_whole_and_keeps_what_it_knew(tmp_path):
    path = tmp_path / "ledger.json"
    one, other = (
        verify(claims([name]))[0] for name in ("LAMB", "grafted_steps_have_the_length_of_the_other")
    )
    ledger.write([one], path)
    ledger.write([other], path)
    assert set(ledger.read(path)) == {one.name, other.name}
    assert ledger.read(path)[one.name]["code"] == ledger.code_of(claims(["LAMB"])[0])
    ledger.write([], path, known=[other.name])
    assert set(ledger.read(path)) == {other.name}
    path.write_text("{")
    with pytest.raises(ValueError, match="not a ledger"):
        ledger.read(path)


def test_a_problem_of_several_parameters_is_cut_and_joined():
    start = torch.arange(8, dtype=torch.float64)
    p = Problem("net", lambda x: x.square().sum(), start, 0.0, 0 * start, shapes={"w": (2, 3), "b": (2,)})
    assert {name: part.shape for name, part in p.parts(start).items()} == {"w": (2, 3), "b": (2,)}
    assert torch.equal(p.whole(p.parts(start)), start)
    trace = descend(p, piste.SGD, 2, lr=0.25)
    assert torch.equal(trace.end, start / 4)


def test_rates_are_tuned_to_the_inside_of_the_grid():
    best = tuned(lambda rate: abs(math.log(rate / 0.7)), [0.001, 0.01, 0.1])
    assert best.rate == pytest.approx(1.0) and len(best.tried) == 5
    assert tuned(lambda rate: math.nan if rate > 1 else -rate, [0.1, 1.0, 10.0]).rate == 1.0
    with pytest.raises(ValueError, match="an end of what was tried"):
        tuned(lambda rate: -rate, [0.1, 1.0, 10.0])
    with pytest.raises(ValueError, match="inside"):
        tuned(abs, [0.1, 1.0])


def test_steps_are_counted_to_a_target():
    assert steps_to([3.0, 2.0, 1.0, 2.0], 1.5) == 2.0 and steps_to([3.0], 1.0) == math.inf


def test_a_hash_covers_what_a_claim_is_made_of_and_no_more():
    lion, adam = claims(["lion_enters_its_box_geometrically"])[0], claims(["rotation_slows_adam"])[0]
    names = {path.name for path in ledger._used(lion.experiment.__module__)}
    assert {"constrained.py", "wrong.py"} <= names and "geometry.py" not in names
    assert ledger.code_of(lion) != ledger.code_of(adam)


def test_processes_find_what_one_finds():
    rows = sorted(ledger.read().values(), key=lambda row: row["seconds"])
    some, told = claims([row["name"] for row in rows[:8]]), []
    apart = verify(some, told.append, workers=2)
    for one, other in zip(verify(some), apart, strict=True):
        assert (one.name, one.seen, one.verdict) == (other.name, other.seen, other.verdict)
    assert sorted(told) == sorted(c.name for c in some)
