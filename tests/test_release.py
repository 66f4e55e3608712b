"""The step inside backward: the ordinary step's result, with no gradient left."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import piste
from tiny import OPTIMIZERS, assert_same, every_optimizer, make, snapshot, tiny, weights, words


def stands_alone(name):
    """Whether no parameter looks at another, from the declarations alone."""
    chains = make(name, tiny()).chains()
    shared = any(slot.shared for c in chains for _, slot, _ in c.slots())
    return not shared and not any(c.whole_tree or c.needs_closure or c.senses for c in chains)


ALONE = [name for name in OPTIMIZERS if stands_alone(name)]


def square():
    """Square matrices and more rows of data than columns: every factor has full rank, every root is determined."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)).double()


def loss(model, i):
    x = torch.randn(40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
    return (model(x) - x.roll(1, 1)).square().mean()


def steps(model, opt, start, stop, released=False):
    for i in range(start, stop):
        loss(model, i).backward()
        assert all((p.grad is None) == released for p in model.parameters())
        opt.step()
        opt.zero_grad()


@pytest.mark.parametrize("name", ALONE)
def test_it_is_the_ordinary_step(name):
    """Bitwise; matrices that the ordinary step stacks are multiplied one by one, which rounds differently."""
    model, twin = square(), square()
    opt, other = make(name, model), make(name, twin)
    stacked = any(p.sheet for c in opt.chains() for p in c)
    for o in (opt, other):
        o.schedules["lr"] = piste.schedules.scale(piste.schedules.linear(1.0, 0.2, 6))
    released = piste.release_gradients(opt)
    steps(model, opt, 0, 3, released=True)
    steps(twin, other, 0, 3)
    released.remove()
    steps(model, opt, 3, 5)
    steps(twin, other, 3, 5)
    if stacked:
        torch.testing.assert_close(weights(model), weights(twin), rtol=1e-7, atol=1e-9)
    else:
        assert_same(snapshot(opt), snapshot(other))


def test_there_is_something_to_test():
    assert {"AdamW", "Lion", "Muon", "SOAP"} <= set(ALONE)
    assert not {"LBFGS", "SAM", "ScheduleFreeAdamW"} & set(ALONE)


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n not in ALONE])
def test_what_looks_further_is_refused_by_name(name):
    model = tiny()
    before = weights(model)
    with pytest.raises(ValueError, match=f"{name} cannot release its gradients"):
        piste.release_gradients(make(name, model))
    model.loss(words()).backward()
    assert_same(weights(model), before)
    assert any(p.grad is not None for p in model.parameters())


def test_a_guard_is_refused():
    with pytest.raises(ValueError, match="guard='skip' judges all gradients"):
        piste.release_gradients(piste.AdamW(tiny(), guard="skip"))


def test_as_a_context_it_ends_with_it():
    model = tiny()
    with piste.release_gradients(piste.AdamW(model)):
        model.loss(words()).backward()
    model.loss(words()).backward()
    assert model.inner.weight.grad is not None


@every_optimizer
def test_frozen_parameters_stay(name):
    if name not in ALONE:
        return
    model = tiny()
    model.inner.weight.requires_grad_(False)
    was = model.inner.weight.clone()
    opt = make(name, model)
    with piste.release_gradients(opt):
        for x in map(words, range(2)):
            model.loss(x).backward()
            opt.step()
    assert torch.equal(model.inner.weight, was)
