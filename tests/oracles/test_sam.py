"""What an oracle may and may not touch."""

from __future__ import annotations

import pytest
import torch

import piste
from optimizers.closures import descend, network
from optimizers.trajectories import distance, start
from piste import chain
from piste.oracles import backprop, sam
from piste.transforms import scale_by_adam


@piste.optimizer
def BackpropAdam(lr=1e-3):
    return chain(backprop(), scale_by_adam(0.9, 0.999, 1e-8), piste.transforms.descend(lr))


def test_backprop_is_the_default():
    params, loss = network()
    a, b = start(params), start(params)
    got = descend(BackpropAdam(a), a, loss, 6)
    assert distance(got, descend(piste.Adam(b), b, loss, 6)) < 1e-15


def test_the_climb_has_length_rho_and_the_weights_come_back_from_a_copy():
    """At lr = 0 the closure sees w, then w + e; afterwards w is bit for bit what it was, and p.grad too."""
    params, loss = network()
    live = [torch.nn.Parameter(p.float()) for p in params]
    before = [p.detach().clone() for p in live]
    for p in live:
        p.grad = torch.full_like(p, 7.0)
    seen: list[list[torch.Tensor]] = []

    def closure():
        seen.append([p.detach().clone() for p in live])
        optimizer.zero_grad()
        value = loss([p.double() for p in live])
        value.backward()
        return value

    optimizer = piste.SAM(live, lr=0.0, rho=0.3)
    value = optimizer.step(closure)
    assert all(torch.equal(a, b) for a, b in zip(seen[0], before, strict=True))
    climbed = torch.stack([(a - b).norm() for a, b in zip(seen[1], before, strict=True)]).norm()
    assert float(climbed) == pytest.approx(0.3, rel=1e-4)
    assert float(value) == pytest.approx(float(loss([b.double() for b in before])), rel=1e-6)
    assert all(torch.equal(p, b) for p, b in zip(live, before, strict=True))
    assert all(torch.equal(p.grad, torch.full_like(p, 7.0)) for p in live)


def test_parameters_the_loss_does_not_touch_stay():
    used = torch.nn.Parameter(torch.ones(3))
    unused = torch.nn.Parameter(torch.ones(4))
    optimizer = piste.SAM([used, unused], lr=0.1, weight_decay=0.1)

    def closure():
        optimizer.zero_grad()
        value = used.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    assert torch.equal(unused, torch.ones(4))
    assert optimizer.state[unused]["step"] == 0
    assert not torch.equal(used, torch.ones(3))


def test_a_loss_that_depends_on_nothing_moves_nothing():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = piste.SAM([p], lr=0.1, weight_decay=0.1)
    optimizer.step(lambda: torch.zeros(()))
    assert torch.equal(p, torch.ones(3))


def test_rho_may_follow_a_schedule():
    """ρ = 0 from the third step on: from there the step is plain SGD's."""
    params, loss = network()
    live = start(params)
    optimizer = piste.SAM(live, lr=0.1, momentum=0.0)
    optimizer.schedules["rho"] = piste.schedules.piecewise((0.2, 0.0), (2,))
    middle = descend(optimizer, live, loss, 2)
    other = start(middle)
    assert (
        distance(descend(optimizer, live, loss, 3), descend(piste.SGD(other, lr=0.1), other, loss, 3)) < 1e-14
    )


def test_two_oracles_are_refused():
    with pytest.raises(ValueError, match="at most one oracle"):
        chain(sam(), backprop(), piste.transforms.descend(0.1))
