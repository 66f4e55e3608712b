"""Grafting, caution and constraints."""

from __future__ import annotations

import pytest

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain
from piste.transforms import (
    clip_by_global_norm,
    descend,
    graft,
    project_ball,
    project_box,
    scale_by_adam,
    scale_by_shampoo,
    trace,
)
from reference import grafting


@piste.optimizer
def Grafted(lr=0.1, momentum=0.9):
    return chain(graft(trace(momentum), scale_by_adam(0.9, 0.999, 1e-8)), descend(lr))


@piste.optimizer
def BoxedSGD(lr=0.1, low=-0.3, high=0.2):
    return chain(descend(lr), project_box(low, high))


@piste.optimizer
def BalledSGD(lr=0.1, radius=1.0):
    return chain(descend(lr), project_ball(radius))


def test_grafting_is_its_textbook():
    params, grads = problem(SHAPES, steps=15)
    live = start(params)
    assert distance(follow(Grafted(live), live, grads), grafting.reference(params, grads)) < 1e-12


def test_held_chains_keep_slots_under_their_own_names():
    live = start(problem([(3, 2)], 1)[0])
    names = set(Grafted(live).state[live[0]]) - {"step"}
    assert names == {"magnitude.momentum_buffer", "direction.exp_avg", "direction.exp_avg_sq"}


def test_a_composite_may_hold_a_composite():
    rule = graft(trace(0.9), scale_by_shampoo(chain(), 1e-4, 16))
    nested = chain(graft(rule, scale_by_adam(0.9, 0.99, 1e-8)), descend(0.1))
    names = [name for name, _, _ in nested.slots()]
    assert "magnitude.magnitude.momentum_buffer" in names
    assert "magnitude.direction.L" in names
    assert "direction.exp_avg" in names


def test_a_held_part_that_needs_the_whole_tree_is_refused():
    with pytest.raises(ValueError, match="whole tree"):
        chain(graft(clip_by_global_norm(1.0), trace(0.9)), descend(0.1))


def test_caution_never_moves_against_the_gradient():
    params, grads = problem([(20, 20)], steps=6)
    live = start(params)
    optimizer = piste.CautiousAdamW(live, weight_decay=0.0)
    for row in grads:
        before = live[0].detach().clone()
        after = follow(optimizer, live, [row])[0]
        assert ((after - before) * row[0] <= 0).all()


def test_projections_hold_exactly_and_are_nearest_points():
    params, grads = problem(SHAPES, steps=8)
    inside = [p.clamp(-0.3, 0.2) for p in params]
    live = start(inside)
    end = follow(BoxedSGD(live), live, grads)
    want = inside
    for row in grads:
        want = [(w - 0.1 * g).clamp(-0.3, 0.2) for w, g in zip(want, row, strict=True)]
    assert all(((p >= -0.3) & (p <= 0.2)).all() for p in end)
    assert distance(end, want) < 1e-15
    live = start(params)
    end = follow(BalledSGD(live), live, grads)
    want = params
    for row in grads:
        moved = [w - 0.1 * g for w, g in zip(want, row, strict=True)]
        want = [w / max(1.0, float(w.norm())) for w in moved]
    assert distance(end, want) < 1e-14


def test_a_second_point_part_is_refused():
    with pytest.raises(ValueError, match="at most one point part"):
        chain(descend(0.1), project_box(0.0, 1.0), project_ball(1.0))


def test_two_adams_side_by_side_need_a_composite():
    with pytest.raises(ValueError, match="slot named exp_avg"):
        chain(scale_by_adam(0.9, 0.99, 1e-8), scale_by_adam(0.9, 0.99, 1e-8), descend(0.1))


def test_a_direction_behind_the_step_is_refused():
    with pytest.raises(ValueError, match="misplaced after descend"):
        chain(descend(0.1), trace(0.9))
