"""What a model reports reaches the rules that ask for it: once, combined, by name, whatever the tensor's way is."""

from __future__ import annotations

import copy
import gc
import itertools

import pytest
import torch
from torch import nn

import piste
from piste import _signals, chain, functional, optimizer, signal, transform
from piste.transforms import descend, ema


@pytest.fixture(autouse=True)
def no_trace(monkeypatch):
    monkeypatch.setattr("piste._registry._entries", dict(piste._registry._entries))
    monkeypatch.setattr("piste._signals._of_tensors", _signals.WeakTensorKeyDictionary())
    monkeypatch.setattr("piste._signals._of_modules", _signals.weakref.WeakKeyDictionary())


@transform(room="delta", signals={"test_hot": signal("m", how="max")})
def stop_hot_rows(u, param, test_hot, *, limit: float = 1.0):
    return u if test_hot is None else torch.where(test_hot > limit, -param, u)


@transform(scope="tensor", signals={"test_turn": signal(how="mean")})
def turn(u, test_turn):
    return u if test_turn is None else u @ test_turn


@optimizer
def StopsHotRows(lr=0.5):
    return chain(descend(lr), stop_hot_rows())


@optimizer
def Turns(lr=1.0):
    return chain(ema(0.0, False), turn(), descend(lr))


def layers(*sizes: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes)))


def step(opt, gradient=1.0):
    for group in opt.param_groups:
        for p in group["params"]:
            p.grad = torch.full_like(p, gradient)
    opt.step()


def moved(net, opt):
    before = [p.detach().clone() for p in net.parameters()]
    step(opt)
    return [(p - q).detach() for p, q in zip(net.parameters(), before, strict=True)]


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("storage", [None, "8bit"])
def test_by_rows_it_meets_the_blocks_of_the_parameter_that_reported(compile, storage):
    """Packed with others, alone and compiled: those that said nothing move as ever."""
    net = layers(64, 64, 64, 64)
    opt = StopsHotRows(net.parameters(), compile=compile, storage=storage)
    piste.report(net[1], test_hot=torch.tensor([0.5, 2.0, 1.0, 3.0]))
    first, second, third = moved(net, opt)
    torch.testing.assert_close(first, torch.full_like(first, -0.5))
    torch.testing.assert_close(third, torch.full_like(third, -0.5))
    hot = torch.tensor([False, True, False, True]).repeat_interleave(16)
    assert not net[1].weight[hot].any()
    torch.testing.assert_close(second[~hot], torch.full_like(second[~hot], -0.5))
    for delta in moved(net, opt):  # read and cleared
        torch.testing.assert_close(delta, torch.full_like(delta, -0.5))


def test_several_reports_are_combined_as_declared():
    net = layers(4, 4)
    opt = StopsHotRows(net.parameters())
    piste.report(net[0], test_hot=2.0)
    piste.report(
        net[0].weight, test_hot=torch.tensor([0.0, 0.0])
    )  # of a parameter, of a module: the same one
    piste.report(net[0], test_hot=torch.tensor(0.5))
    with pytest.raises(ValueError, match="rows"):
        piste.report(net[0], test_hot=torch.zeros(3))
    step(opt)
    assert not net[0].weight.any()

    net = layers(3, 3)
    opt = Turns(net.parameters())
    for size in (1.0, 2.0, 6.0):
        piste.report(net[0], test_turn=size * torch.eye(3))
    (delta,) = moved(net, opt)
    torch.testing.assert_close(delta, torch.full_like(delta, -3.0))


def test_as_reported_it_meets_each_matrix_of_a_stack():
    """Equal shapes are stacked whether they reported or not, and each gets its own; a stack of experts gets one."""
    net = layers(3, 3, 3, 3)
    experts = nn.Parameter(torch.zeros(2, 3, 3))
    groups = [{"params": list(net.parameters())}, {"params": [experts], "view": "e a b -> e a b"}]
    opt = Turns(groups)
    for i in (0, 2):
        piste.report(net[i], test_turn=(i + 2.0) * torch.eye(3))
    piste.report(experts, test_turn=5.0 * torch.eye(3))
    for delta, size in zip(moved(net, opt), (2.0, 1.0, 4.0), strict=True):
        torch.testing.assert_close(delta, torch.full_like(delta, -size))
    torch.testing.assert_close(experts.detach(), torch.full_like(experts, -5.0))


def test_reports_are_held_weakly_and_are_no_state():
    net = layers(4, 4)
    opt = StopsHotRows(net.parameters())
    piste.report(net[0], test_hot=2.0)
    piste.report(net[0].weight, test_hot=2.0)
    assert "test_hot" not in str(opt.state_dict())
    twin = copy.deepcopy(net)
    assert not moved(twin, StopsHotRows(twin.parameters()))[0].add(0.5).any()  # a copy has reported nothing
    del net, opt
    gc.collect()
    assert len(_signals._of_modules) == 0
    assert len(_signals._of_tensors) == 0


def test_a_step_that_is_skipped_takes_its_reports_along():
    net = layers(4, 4)
    opt = StopsHotRows(net.parameters(), guard="skip")
    piste.report(net[0], test_hot=2.0)
    step(opt, float("nan"))
    assert opt.skipped_steps == 1
    (delta,) = moved(net, opt)
    torch.testing.assert_close(delta, torch.full_like(delta, -0.5))


def test_an_optimizer_takes_only_what_is_its_own():
    net = layers(4, 4, 4)
    one, two = (StopsHotRows(layer.parameters()) for layer in net)
    piste.report(net[1], test_hot=2.0)
    step(one)
    step(two)
    assert net[0].weight.any()
    assert not net[1].weight.any()


def test_inside_backward():
    net = layers(4, 4)
    opt = StopsHotRows(net.parameters())
    with piste.release_gradients(opt):
        piste.report(net[0], test_hot=2.0)
        net(torch.ones(1, 4)).sum().backward()
        assert not net[0].weight.any()
        opt.step()


def test_as_functions():
    p = torch.ones(4, 2)
    rule = StopsHotRows.chain()
    state = functional.init(rule, {"p": p})
    new, _ = functional.step(rule, {"p": p}, state, {"p": p}, test_hot={"p": torch.tensor([0.0, 2.0])})
    torch.testing.assert_close(new["p"], torch.tensor([[0.5] * 2] * 2 + [[0.0] * 2] * 2))
    with pytest.raises(ValueError, match="'p' has 3 numbers"):
        functional.step(rule, {"p": p}, state, {"p": p}, test_hot={"p": torch.zeros(3)})


def test_refusals():
    net = layers(4, 4)
    with pytest.raises(ValueError, match="did you mean 'test_hot'"):
        piste.report(net[0], test_hit=1.0)
    with pytest.raises(TypeError, match="no parameter 'weight'"):
        piste.report(net, test_hot=1.0)
    with pytest.raises(TypeError, match="computed from others"):
        piste.report(net[0].weight * 2, test_hot=1.0)
    with pytest.raises(TypeError, match="elsewhere and"):
        transform(signals={"test_hot": signal("m", how="mean")})(lambda u, test_hot: u)
    with pytest.raises(TypeError, match="cannot see signal"):
        transform(signals={"test_new": signal()})(lambda u, test_new: u)
    with pytest.raises(TypeError, match="has the name of another input"):
        transform(signals={"loss": signal("m")})(lambda u, loss: u)
    with pytest.raises(ValueError, match="max or mean"):
        signal(how="last")
