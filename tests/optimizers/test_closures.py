"""Methods that evaluate the loss themselves, against their textbooks and torch."""

from __future__ import annotations

import pytest
import torch

import piste
from optimizers.closures import descend, network, valley
from optimizers.trajectories import distance, start
from reference import armijo, lbfgs, sam

CLOSURE = [
    e.name for e in piste.registry("optimizer") if e.module.startswith("piste.") and e.needs == ("closure",)
]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("hyper", [{}, {"momentum": 0.9, "weight_decay": 0.01}])
def test_sam_is_its_textbook(adaptive, hyper):
    params, loss = network()
    live = start(params)
    hyper = {"lr": 0.1, "rho": 0.2, "adaptive": adaptive, "momentum": 0.0, **hyper}
    got = descend(piste.SAM(live, **hyper), live, loss, 20)
    assert distance(got, sam.reference(params, loss, 20, **hyper)) < 1e-12


def test_sam_adamw_without_a_climb_is_adamw():
    params, loss = network()
    a, b = start(params), start(params)
    got = descend(piste.SAMAdamW(a, rho=0.0), a, loss, 10)
    assert distance(got, descend(piste.AdamW(b), b, loss, 10)) < 1e-14


@pytest.mark.parametrize("problem", [network, valley])
@pytest.mark.parametrize("hyper", [{}, {"c": 0.5, "beta": 0.5, "gamma": 4.0, "n_batches_per_epoch": 3}])
def test_armijo_is_its_textbook(problem, hyper):
    params, loss = problem()
    live = start(params)
    got = descend(piste.ArmijoSGD(live, lr=1e9, **hyper), live, loss, 25)
    assert distance(got, armijo.reference(params, loss, 25, **hyper)) < 1e-12


def test_armijo_steps_are_at_most_lr():
    params, loss = network()
    a, b = start(params), start(params)
    got = descend(piste.ArmijoSGD(a, lr=1e-3), a, loss, 10)
    assert distance(got, descend(piste.SGD(b, lr=1e-3), b, loss, 10)) < 1e-14


@pytest.mark.parametrize("problem, steps", [(network, 25), (valley, 30)])
@pytest.mark.parametrize("history", [3, 10])
def test_lbfgs_is_torchs_and_its_textbook(problem, steps, history):
    params, loss = problem()
    a, b = start(params), start(params)
    got = descend(piste.LBFGS(a, history_size=history), a, loss, steps)
    other = torch.optim.LBFGS(
        b, lr=1.0, max_iter=1, max_eval=26, history_size=history, line_search_fn="strong_wolfe"
    )
    assert distance(got, descend(other, b, loss, steps)) < 1e-6
    assert distance(got, lbfgs.reference(params, loss, steps, history_size=history)) < 1e-6


def test_lbfgs_reaches_the_bottom_of_the_valley():
    params, loss = valley()
    live = start(params)
    end = descend(piste.LBFGS(live), live, loss, 40)
    assert distance(end, [torch.ones(2, dtype=torch.float64)] * 2) < 1e-5


def test_lbfgs_sees_groups_as_one_vector():
    params, loss = network()
    a, b = start(params), start(params)
    whole = descend(piste.LBFGS(a), a, loss, 12)
    groups = piste.LBFGS([{"params": b[:1]}, {"params": b[1:]}])
    assert distance(descend(groups, b, loss, 12), whole) < 1e-10


@pytest.mark.parametrize("name", CLOSURE)
def test_lr_zero_leaves_weights_alone(name):
    params, loss = network()
    live = start(params)
    optimizer = getattr(piste, name)(live, lr=0.0)
    end = descend(optimizer, live, loss, 3)
    assert all(torch.equal(a, b) for a, b in zip(end, params, strict=True))
    optimizer.param_groups[0]["lr"] = 0.1
    moved = descend(optimizer, live, loss, 2)
    assert distance(moved, params) > 1e-6
    optimizer.param_groups[0]["lr"] = 0.0
    still = descend(optimizer, live, loss, 2)
    assert all(torch.equal(a, b) for a, b in zip(still, moved, strict=True))


@pytest.mark.parametrize("name", CLOSURE)
def test_without_a_closure_nothing_changes(name):
    params, _ = network()
    live = start(params)
    for p in live:
        p.grad = torch.ones_like(p)
    optimizer = getattr(piste, name)(live)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step()
    assert distance([p.detach() for p in live], params) == 0
    assert [e.needs for e in piste.registry("optimizer") if e.name == name] == [("closure",)]


@pytest.mark.parametrize("name", CLOSURE)
def test_resume_equals_no_interruption(name, tmp_path):
    params, loss = network()
    whole = start(params)
    end = descend(getattr(piste, name)(whole), whole, loss, 12)
    live = start(params)
    first = getattr(piste, name)(live)
    descend(first, live, loss, 5)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = getattr(piste, name)(live)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert distance(descend(second, live, loss, 7), end) == 0
