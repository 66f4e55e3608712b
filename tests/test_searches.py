"""Searches keep their promises: the conditions they search for hold where they stop."""

from __future__ import annotations

import math

import pytest
import torch

import piste
from optimizers.closures import descend, network, valley
from optimizers.trajectories import distance, start
from piste import chain
from piste.searches import _Point, _zoom, full_step, strong_wolfe
from piste.transforms import scale_by_adam


@piste.optimizer
def SearchedAdam(lr=1e-3):
    return chain(scale_by_adam(0.9, 0.999, 1e-8), full_step(lr))


@piste.optimizer
def WolfeDescent(lr=1.0, c1=1e-4, c2=0.9, max_ls=25):
    return chain(strong_wolfe(lr, c1, c2, int(max_ls)))


def test_a_full_step_is_descend():
    params, loss = network()
    a, b = start(params), start(params)
    got = descend(SearchedAdam(a), a, loss, 8)
    assert distance(got, descend(piste.Adam(b, fused=False), b, loss, 8)) == 0


@pytest.mark.parametrize("problem", [network, valley])
@pytest.mark.parametrize("lr", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("c2", [0.9, 0.1])
def test_the_strong_wolfe_conditions_hold(problem, lr, c2):
    """From first trials far too short and far too long, along the negative gradient."""
    params, loss = problem()
    live = start(params)
    optimizer = WolfeDescent(live, lr=lr, c2=c2, max_ls=60)
    for _ in range(6):
        before, value, g = slope_at(loss, live)
        descend(optimizer, live, loss, 1)
        after, lower, new = slope_at(loss, live)
        t = math.sqrt(
            sum(float((a - b).square().sum()) for a, b in zip(after, before, strict=True)) / dot(g, g)
        )
        assert lower <= value - 1e-4 * t * dot(g, g) + 1e-12
        assert abs(dot(new, g)) <= c2 * dot(g, g) + 1e-12


def dot(a, b) -> float:
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))


def slope_at(loss, live):
    point = [p.detach().clone().requires_grad_() for p in live]
    value = loss(point)
    return [p.detach() for p in point], value.item(), torch.autograd.grad(value, point)


def test_a_loss_that_overflows_counts_as_too_high():
    """exp of a step of a thousand is infinite: the search must come back from it."""
    start_at = [torch.tensor([1.0, -2.0], dtype=torch.float64)]
    live = start(start_at)

    def loss(w):
        return w[0].exp().sum() - w[0].sum()

    end = descend(WolfeDescent(live, lr=1e4), live, loss, 8)
    assert distance(end, [torch.zeros(2, dtype=torch.float64)]) < 0.5


def test_every_trial_sees_the_same_dropout_mask():
    """Within one step the closure draws the same numbers; steps differ, and leave the stream where one run would."""
    live = [torch.nn.Parameter(torch.ones(50, dtype=torch.float64))]
    optimizer = piste.ArmijoSGD(live, init_step_size=100.0)
    masks: list[list[torch.Tensor]] = []

    def closure():
        optimizer.zero_grad()
        mask = (torch.rand(50) > 0.5).double()
        masks[-1].append(mask)
        value = (mask * live[0]).square().sum()
        value.backward()
        return value

    torch.manual_seed(3)
    for _ in range(2):
        masks.append([])
        optimizer.step(closure)
    after = torch.rand(1)
    assert len(masks[0]) > 2
    assert all(torch.equal(m, row[0]) for row in masks for m in row)
    assert not torch.equal(masks[0][0], masks[1][0])
    torch.manual_seed(3)
    torch.rand(100)
    assert torch.equal(after, torch.rand(1))


def test_a_bracket_that_has_shrunk_to_a_point_is_the_step():
    """Without a tolerance the digits of t run out first."""

    def never(*_):
        raise AssertionError("no trial is left between a point and itself")

    low, high = _Point(1.0, 0.5, -1.0), _Point(1.0, 0.6, 1.0)
    assert _zoom(never, low, high, never, never, 5, narrow=0.0) is low
