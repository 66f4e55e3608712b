"""Every piste optimizer is a torch optimizer: hooks, groups, copies, tensor rates, frozen weights."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import weakref

import pytest
import torch
from torch import nn

import piste
from tiny import OPTIMIZERS, assert_same, every_optimizer, make, snapshot, tiny, train, weights, words


@every_optimizer
def test_it_is_a_torch_optimizer_with_its_factory_s_signature(name):
    model = tiny()
    opt = make(name, model)
    assert isinstance(opt, torch.optim.Optimizer)
    assert type(opt).__name__ == name == type(opt).factory.name
    parameters = inspect.signature(type(opt)).parameters
    assert next(iter(parameters)) == "params"
    assert parameters["lr"].default == type(opt).factory.defaults["lr"]
    assert [k for k in parameters if k in type(opt).factory.defaults] == list(type(opt).factory.defaults)
    assert all("lr" in g for g in opt.param_groups)
    held = [id(p) for g in opt.param_groups for p in g["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())  # each exactly once


def test_a_signature_names_the_factory_s_hyperparameters():
    shown = inspect.signature(piste.Muon)
    assert [*shown.parameters][:3] == ["params", "lr", "momentum"]
    assert shown.parameters["momentum"].default == 0.95
    assert inspect.signature(piste.Muon.__init__).parameters["nesterov"].default is True


@every_optimizer
def test_a_step_reads_gradients_and_keeps_them(name):
    model = tiny()
    opt = make(name, model)
    train(model, opt, 2)
    x = words(9)

    def closure():
        opt.zero_grad()
        loss = model.loss(x)
        loss.backward()
        return loss

    closure()
    given = {n: p.grad for n, p in model.named_parameters()}
    before = {n: None if g is None else g.clone() for n, g in given.items()}
    opt.step(closure if "closure" in piste.get(name).needs else None)
    for n, p in model.named_parameters():
        assert p.grad is given[n] and (before[n] is None or torch.equal(p.grad, before[n])), n
    opt.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@every_optimizer
def test_frozen_and_gradless_parameters_stay_as_they_are(name):
    model = tiny()
    model.inner.weight.requires_grad_(False)
    model.table.weight.requires_grad_(False)
    before = weights(model)
    opt = make(name, model)
    train(model, opt, 3)
    after = weights(model)
    for n in ("inner.weight", "table.weight", "spare.weight", "spare.bias"):
        assert torch.equal(before[n], after[n]), n
    assert not torch.equal(before["outer.weight"], after["outer.weight"])
    assert opt.state[model.spare.weight]["step"] <= 0


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_a_frozen_parameter_costs_nothing_until_it_thaws(name):
    model = tiny()
    for p in model.parameters():
        p.requires_grad_(False)
    model.head.requires_grad_(True)
    opt = make(name, model)
    assert opt.state_bytes() == 2 * 4 * (model.head.weight.numel() + model.head.bias.numel())
    train(model, opt, 1)
    before = weights(model)
    model.inner.weight.requires_grad_(True)
    train(model, opt, 2)
    assert not torch.equal(before["inner.weight"], model.inner.weight)
    assert opt.state[model.inner.weight]["step"] == 2 and opt.state[model.head.weight]["step"] == 3
    twin, other = tiny(), None
    other = make(name, twin)
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(opt.state_dict())  # into an optimizer that was made with nothing frozen
    twin.table.weight.requires_grad_(False), twin.norm.requires_grad_(False), twin.outer.requires_grad_(False)
    twin.inner.bias.requires_grad_(False)
    train(model, opt, 1, 3), train(twin, other, 1, 3)
    assert_same(weights(model), weights(twin))


def test_state_follows_the_weights_to_where_they_are_at_the_first_step():
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 3)).double()
    twin = copy.deepcopy(model).to(memory_format=torch.channels_last)
    opts = piste.AdamW(model, compile=False), piste.AdamW(twin, compile=False)
    late = piste.AdamW(copy.deepcopy(model), compile=False)
    moved = late.param_groups[0]["params"]
    for p in moved:
        p.data = p.data.to(memory_format=torch.channels_last) if p.dim() == 4 else p.data
    x = torch.randn(5, 4, 3, 3, dtype=torch.float64)
    for m, o in zip((model, twin), opts, strict=True):
        for _ in range(3):
            o.zero_grad()
            m(x).square().sum().backward()
            o.step()
            if m is twin:
                for p, q in zip(moved, m.parameters(), strict=True):
                    p.grad = q.grad.clone()
                late.step()
    for p, q, r in zip(model.parameters(), twin.parameters(), moved, strict=True):
        torch.testing.assert_close(p, q)
        assert torch.equal(q, r)
    for p in moved:
        assert late.state[p]["exp_avg"].stride() == p.stride()


@every_optimizer
def test_state_follows_weights_that_are_cast_in_the_middle_of_a_run(name):
    model = tiny()
    opt = make(name, model)
    train(model, opt, 2)
    twin = copy.deepcopy(model).double()
    other = make(name, twin)
    other.load_state_dict(opt.state_dict())
    model.double()
    train(model, opt, 3, start=2)
    train(twin, other, 3, start=2)
    assert_same(weights(model), weights(twin))
    for leaf in (leaf for leaves in opt.leaves() for leaf in leaves):
        for key, value in leaf.state.items():
            if isinstance(value, torch.Tensor) and value.numel() > 1 and value.is_floating_point():
                assert value.dtype == torch.float64, f"{leaf.name}.{key}"


@pytest.mark.parametrize("compiled", [False, True])
def test_state_follows_weights_that_are_laid_out_anew_in_the_middle_of_a_run(compiled):
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 16, 3))
    twin = copy.deepcopy(model)
    opts = [piste.Lion(m, compile=compiled) for m in (model, twin)]
    for step in range(4):
        if step == 2:
            twin.to(memory_format=torch.channels_last)
        torch.manual_seed(step)
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        before = [q.detach().clone() for q in twin.parameters()]
        for opt in opts:
            opt.step()
        for p, q, was in zip(model.parameters(), twin.parameters(), before, strict=True):
            assert not torch.equal(q, was)
            torch.testing.assert_close(p, q, rtol=0, atol=0)


# hooks --------------------------------------------------------------------------------------------------------------


def test_step_hooks_run_around_the_step_and_may_change_its_arguments():
    model, seen = tiny(), []
    opt = piste.AdamW(model)
    opt.register_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", o.state[model.head.bias]["step"])))
    opt.register_step_post_hook(
        lambda o, args, kwargs: seen.append(("post", o.state[model.head.bias]["step"]))
    )
    train(model, opt, 2)
    assert seen == [("pre", 0), ("post", 1), ("pre", 1), ("post", 2)]

    def replaced(o, args, kwargs):
        return (o, lambda: torch.tensor(7.0)), {}

    handle = opt.register_step_pre_hook(replaced)
    assert opt.step() == 7.0
    handle.remove()
    assert opt.step() is None


def test_state_dict_hooks_run_and_may_replace_the_dict():
    model, seen = tiny(), []
    opt = piste.AdamW(model, lr=0.1)
    opt.register_state_dict_pre_hook(lambda o: seen.append("save"))
    opt.register_state_dict_post_hook(lambda o, d: {**d, "note": 3})
    saved = opt.state_dict()
    assert seen == ["save"] and saved["note"] == 3

    def drop_note(o, d):
        seen.append("load")
        d = copy.deepcopy(d)
        d["param_groups"][0]["lr"] = 0.5
        return d

    opt.register_load_state_dict_pre_hook(drop_note)
    opt.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    opt.load_state_dict(saved)
    assert seen == ["save", "load", "loaded"]
    assert opt.param_groups[0]["lr"] == 0.5 and saved["param_groups"][0]["lr"] == 0.1


# copies -------------------------------------------------------------------------------------------------------------


@every_optimizer
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_continue_alike_and_apart(name, how):
    model = tiny()
    opt = make(name, model)
    train(model, opt, 2)
    opt.schedules[f"{name}.lr"] = piste.schedules.cosine(1e-2, 10)
    opt.metrics(on=True)
    torch.optim.lr_scheduler.StepLR(opt, 1)  # wraps opt.step
    wrapped = weakref.ref(opt)
    twin, other = (
        copy.deepcopy((model, opt)) if how == "deepcopy" else pickle.loads(pickle.dumps((model, opt)))
    )
    assert type(other) is type(opt) and set(other.state) == set(twin.parameters())
    assert_same(snapshot(opt), snapshot(other))
    before = snapshot(opt)
    train(twin, other, 2, 2)
    assert_same(before, snapshot(opt))  # the copy writes into itself
    train(model, opt, 2, 2)
    assert_same(snapshot(opt), snapshot(other))
    assert opt.metrics() == other.metrics()
    assert wrapped() is opt


def test_a_copy_of_the_optimizer_alone_copies_its_weights_as_torch_does():
    model = tiny()
    opt = piste.AdamW(model)
    twin = copy.deepcopy(opt)
    assert twin.param_groups[0]["params"][0] is not opt.param_groups[0]["params"][0]
    twin.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    assert len(opt.param_groups) == 1


def test_hooks_stay_with_the_optimizer_they_were_registered_on():
    model, seen = tiny(), []
    opt = piste.AdamW(model)
    opt.register_step_post_hook(lambda o, a, k: seen.append(o))
    twin, other = copy.deepcopy((model, opt))
    train(twin, other, 1)
    assert seen == []
    train(model, opt, 1)
    assert len(seen) == 1 and seen[0] is opt


# numbers ------------------------------------------------------------------------------------------------------------


@every_optimizer
def test_a_tensor_rate_is_a_rate(name):
    plain, model = tiny(), tiny()
    lr = type(make(name, plain)).factory.defaults["lr"]
    a, b = make(name, plain, lr=lr), make(name, model, lr=torch.tensor(lr, dtype=torch.float64))
    for m, opt in ((plain, a), (model, b)):
        schedule = torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)
        train(m, opt, 1)
        schedule.step()
        train(m, opt, 2, 1)
    assert isinstance(b.param_groups[0]["lr"], torch.Tensor)
    assert_same(weights(plain), weights(model))
    torch.save(b.state_dict(), buffer := io.BytesIO())
    buffer.seek(0)
    b.load_state_dict(torch.load(buffer, weights_only=True))
    assert float(b.param_groups[0]["lr"]) == lr / 2


def test_numpy_s_numbers_are_numbers():
    numpy = pytest.importorskip("numpy")
    opt = piste.AdamW(tiny(), lr=numpy.float32(0.5), betas=numpy.array([0.5, 0.75]).tolist())
    group = opt.param_groups[0]
    assert type(group["lr"]) is float and group["betas"] == (0.5, 0.75)
    assert type(piste.Muon(tiny(), ns_steps=numpy.int64(3)).param_groups[0]["ns_steps"]) is int


def test_a_loop_that_flattens_the_rates_is_told():
    model = tiny()
    opt = piste.Muon(model)
    for g in opt.param_groups:
        g["lr"] = 1e-3
    with pytest.warns(UserWarning, match="Scale each group's own lr"):
        train(model, opt, 1)
    train(model, opt, 1)  # once


def test_every_registered_optimizer_is_walked():
    assert {"AdamW", "Lion", "Muon"} <= set(OPTIMIZERS)
