"""FilteredNewton: the whole Hessian of few weights, and a filter of its history."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import piste
from optimizers.trajectories import distance, start
from reference import filterednewton
from tiny import refused


def batches() -> tuple[list[Tensor], object]:
    """Logistic losses of small batches, and the weights, in two tensors."""
    make = torch.Generator().manual_seed(3)
    x = torch.randn(300, 9, generator=make, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(300, generator=make, dtype=torch.float64)).sign()
    params = [torch.randn(s, generator=make, dtype=torch.float64) for s in ((3, 2), (3,))]

    def loss(w: list[Tensor], t: int) -> Tensor:
        rows = slice(15 * t % 300, 15 * t % 300 + 15)
        v = torch.cat([p.flatten() for p in w])
        return nn.functional.softplus(-y[rows] * (x[rows] @ v)).mean() + 0.05 * v.square().sum()

    return params, loss


def run(optimizer, live, loss, steps, first=0):
    for t in range(first, first + steps):

        def closure(t=t):
            optimizer.zero_grad()
            value = loss(live, t)
            value.backward()
            return value

        optimizer.step(closure)
    return [p.detach().clone() for p in live]


@pytest.mark.parametrize("hyper", [{}, {"alpha": 0.5, "beta": 0.8, "c": 0.3, "lr": 0.7}])
def test_it_is_its_textbook(hyper):
    params, loss = batches()
    live = start(params)
    got = run(piste.FilteredNewton(live, **hyper), live, loss, 20)
    assert distance(got, filterednewton.reference(params, loss, 20, **hyper)) < 1e-6


def test_resume_equals_no_interruption():
    params, loss = batches()
    whole, live = start(params), start(params)
    end = run(piste.FilteredNewton(whole), whole, loss, 9)
    first = piste.FilteredNewton(live)
    run(first, live, loss, 4)
    second = piste.FilteredNewton(live)
    second.load_state_dict(first.state_dict())
    assert distance(run(second, live, loss, 5, first=4), end) == 0
    assert second.state_bytes() == second.forecast_bytes()


def test_many_weights_are_refused_with_the_remedy():
    net = nn.Linear(60, 60)
    optimizer = piste.FilteredNewton(net)

    def closure():
        optimizer.zero_grad()
        loss = net(torch.ones(2, 60)).square().mean()
        loss.backward()
        return loss

    refused(optimizer, lambda: optimizer.step(closure), ValueError, "3660 weights", "KrylovGD", "max_size")
