"""Methods without a rate to tune: views, what they refuse, gradients of zero, groups, and a search of one's own."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import piste
from optimizers.closures import descend, network
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain, functional, scalar, search
from piste.transforms import descend as step_by
from piste.transforms import mechanic, scale_by_adam
from reference import dog, ldog, mechanicadamw, udog

NAMES = [
    "DoG", "LDoG", "UDoG", "DAdaptSGD", "DAdaptAdam", "DAdaptLion", "Prodigy", "MechanicSGD", "MechanicAdamW",
    "MechanicLion",
]  # fmt: skip


@pytest.mark.parametrize("name, book", [("DoG", dog), ("UDoG", udog)])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_view_is_the_papers_average(name, book, steps):
    params, grads = problem(SHAPES, steps=steps)
    live = start(params)
    optimizer = getattr(piste, name)(live, reps_rel=1e-2)
    end = follow(optimizer, live, grads)
    with optimizer.averaged():
        shown = [p.detach().clone() for p in live]
    assert distance(shown, book.reference_eval(params, grads, reps_rel=1e-2)) < 1e-12
    assert distance([p.detach() for p in live], end) == 0


def test_ldogs_view_is_the_average_of_every_tensor():
    params, grads = problem(SHAPES, steps=9)
    live = start(params)
    optimizer = piste.LDoG(live, reps_rel=1e-2)
    follow(optimizer, live, grads)
    with optimizer.averaged():
        for i, p in enumerate(live):
            (want,) = dog.reference_eval([params[i]], [[row[i]] for row in grads], reps_rel=1e-2)
            assert distance([p.detach()], [want]) < 1e-12
    assert distance([p.detach() for p in live], ldog.reference(params, grads, reps_rel=1e-2)) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_zero_move_nothing_and_leave_no_trace(name):
    params, grads = problem(SHAPES, steps=8)
    live = start(params)
    optimizer = getattr(piste, name)(live)
    still = follow(optimizer, live, [[torch.zeros_like(g) for g in row] for row in grads[:2]])
    assert all(torch.equal(a, b) for a, b in zip(still, params, strict=True))
    moved = follow(optimizer, live, grads[2:])
    assert all(torch.isfinite(p).all() for p in moved)
    assert distance(moved, params) > 0


@pytest.mark.parametrize("name", NAMES)
def test_two_groups_are_one_vector(name):
    if name == "LDoG":
        return
    params, grads = problem(SHAPES, steps=10)
    a, b = start(params), start(params)
    factory = getattr(piste, name)
    whole = follow(factory(a), a, grads)
    groups = follow(factory([{"params": b[:3]}, {"params": b[3:]}]), b, grads)
    assert distance(groups, whole) < 1e-13


@pytest.mark.parametrize("name", ["DAdaptSGD", "DAdaptAdam", "Prodigy", "MechanicSGD", "UDoG"])
def test_a_pause_at_rate_zero_is_no_step_at_all(name):
    """Where the rate enters the memory of a rule, a rate of 0 leaves the memory alone."""
    params, grads = problem(SHAPES, steps=9)
    a, b = start(params), start(params)
    first, second = getattr(piste, name)(a), getattr(piste, name)(b)
    if name == "MechanicSGD":  # SGD's own momentum goes on
        first, second = (piste.MechanicSGD(x, momentum=0.0) for x in (a, b))
    follow(first, a, grads[:3])
    follow(second, b, grads[:3])
    second.param_groups[0]["lr"] = 0.0
    follow(second, b, grads[3:5])
    second.param_groups[0]["lr"] = 1.0
    ends = follow(first, a, grads[5:]), follow(second, b, grads[5:])
    assert all(torch.equal(x, y) for x, y in zip(*ends, strict=True))


@pytest.mark.parametrize("name, hyper", [("UDoG", {"reps_rel": 1e-2}), ("DAdaptSGD", {"d0": 1e-2})])
def test_the_hypergradient_is_finite_differences(name, hyper):
    params, grads = problem([(4, 3), (3,)], steps=6)
    there = {str(i): p for i, p in enumerate(params)}

    def end(lr):
        rule = getattr(piste, name).chain(lr=lr, **hyper)
        now, state = there, functional.init(rule, there)
        for row in grads:
            slopes = {str(i): g + now[str(i)] for i, g in enumerate(row)}
            now, state = functional.step(rule, slopes, state, now)
        return sum(p.sum() for p in now.values())

    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(end(rate), rate)
    h = 1e-6
    assert float(slope) == pytest.approx(float(end(0.7 + h) - end(0.7 - h)) / (2 * h), rel=1e-6)


def test_mechanic_stands_behind_any_rule():
    """Around Adam it is MechanicAdamW without decay; the number of its scales is free."""

    @piste.optimizer
    def MechanicAround(lr=1.0, several=True):
        tuner = mechanic(lr, s_init=1e-3) if several else mechanic(lr, (0.99,), s_init=1e-3)
        return chain(scale_by_adam(0.9, 0.999, 1e-8), step_by(lr), tuner)

    params, grads = problem(SHAPES, steps=10)
    a, b = start(params), start(params)
    mine = follow(MechanicAround(a), a, grads)
    theirs = follow(piste.MechanicAdamW(b, s_init=1e-3), b, grads)
    assert distance(mine, theirs) == 0 and distance(mine, params) > 1e-6
    c = start(params)
    one = MechanicAround(c, several=False)
    want = mechanicadamw.reference(params, grads, mechanic_betas=(0.99,), s_init=1e-3)
    assert distance(follow(one, c, grads), want) < 1e-12
    assert one.state[c[0]]["scales"].shape == (1,)


@pytest.mark.parametrize(
    "name, hyper, said",
    [
        ("DoG", {"reps_rel": 0.0}, "reps_rel"),
        ("LDoG", {"reps_rel": -1.0}, "reps_rel"),
        ("UDoG", {"reps_rel": 0.0}, "reps_rel"),
        ("DAdaptSGD", {"d0": 0.0}, "d0"),
        ("DAdaptAdam", {"growth_rate": 1.0}, "growth_rate"),
        ("DAdaptLion", {"d0": math.nan}, "d0"),
        ("Prodigy", {"d_coef": 0.0}, "d_coef"),
        ("MechanicSGD", {"mechanic_betas": ()}, "mechanic_betas"),
        ("MechanicAdamW", {"s_init": 0.0}, "s_init"),
        ("MechanicLion", {"mechanic_betas": (1.5,)}, "mechanic_betas"),
        ("PolyakSGD", {"c": 0.0}, "c must"),
        ("SPS", {"gamma": -2.0}, "gamma"),
    ],
)
def test_what_makes_no_sense_is_refused(name, hyper, said):
    with pytest.raises(ValueError, match=said):
        getattr(piste, name)([torch.nn.Parameter(torch.zeros(2))], **hyper)


def test_polyaks_step_stops_at_the_least_loss():
    """Below f* nothing moves; SPS goes on with the step it had."""
    params, loss = network()
    for make in (piste.PolyakSGD, piste.SPS):
        live = start(params)
        end = descend(make(live, f_star=1e3), live, loss, 3)
        assert all(torch.equal(a, b) for a, b in zip(end, params, strict=True))
    live = start(params)
    optimizer = piste.SPS(live, init_step_size=0.25, f_star=1e3)
    descend(optimizer, live, loss, 3)
    assert float(optimizer.state[live[0]]["step_size"]) == 0.25


def test_a_search_of_ones_own_plugs_in():
    """A line search is a function: it takes the place of ``descend``, with a slot and hyperparameters of its own."""

    @search(tries=scalar(shared=True))
    def halve_until_lower(evaluate, params, direction, loss, tries, *, lr: float = 1.0):
        t, n = lr, 0
        while n < 40 and float(evaluate([p + t * d for p, d in zip(params, direction)])[0]) >= float(loss):
            t, n = t / 2, n + 1
        return t, tries + n

    @piste.optimizer
    def HalvingAdam(lr=64.0):
        return chain(scale_by_adam(0.9, 0.999, 1e-8), halve_until_lower(lr))

    params, loss = network()
    live = start(params)
    optimizer, seen = HalvingAdam(live), [float(loss(params))]
    for _ in range(5):
        descend(optimizer, live, loss, 1)
        seen.append(float(loss([p.detach() for p in live])))
    assert all(after < before for before, after in itertools.pairwise(seen))
    assert float(optimizer.state[live[0]]["tries"]) > 5
