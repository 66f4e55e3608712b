"""Averages under mixed precision, and snapshots of a run that was interrupted."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from averaging.chains import AVERAGES, make
from piste import checkpoint, functional
from piste.averaging import Snapshots, post_hoc

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))


def shown(opt, model) -> list[torch.Tensor]:
    with opt.averaged(model):
        return [p.detach().clone() for p in model.parameters()]


def scaled_steps(opt, model, steps: int, overflow_at: int | None) -> None:
    """Steps in bf16 autocast with a loss scale; the gradients of one are infinite, and the scaler leaves it out."""
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1000)
    for i in range(steps):
        opt.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(X + 0.1 * i).square().mean()
        before = shown(opt, model) if i else []
        scaler.scale(loss).backward()
        if i == overflow_at:
            next(model.parameters()).grad.fill_(torch.inf)
        scaler.step(opt)
        scaler.update()
        if i == overflow_at:
            scaler.update(256.0)
            assert all(torch.equal(a, b) for a, b in zip(before, shown(opt, model), strict=True))


@pytest.mark.parametrize("name", AVERAGES)
def test_a_step_that_the_scaler_leaves_out_is_in_no_average(name):
    model = net()
    opt = make(name, model)
    scaled_steps(opt, model, 6, overflow_at=3)
    moved = [p.detach().clone() for p in model.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(moved, shown(opt, model), strict=True))
    assert all(torch.equal(a, p) for a, p in zip(moved, model.parameters(), strict=True))  # raw ones are back
    assert {leaf.state["step"] for leaves in opt.leaves() for leaf in leaves} == {5}


@pytest.mark.parametrize("name", AVERAGES)
def test_the_view_is_used_inside_autocast_and_weights_stay_float32(name):
    model = net()
    opt = make(name, model)
    scaled_steps(opt, model, 4, overflow_at=None)
    with opt.averaged(model), torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(X).dtype == torch.bfloat16
        assert all(p.dtype == torch.float32 for p in model.parameters())


def test_snapshots_of_a_resumed_run_are_those_of_a_whole_one(tmp_path):
    def trained(model, opt, snapshots, first, last):
        for i in range(first, last):
            opt.zero_grad()
            model(X + 0.1 * i).square().mean().backward()
            opt.step()
            snapshots.step()

    whole = net()
    opt = make("power_ema", whole)
    trained(whole, opt, Snapshots(opt, whole, tmp_path / "whole", every=3), 0, 12)

    first, second = net(), net()
    opt = make("power_ema", first)
    trained(first, opt, Snapshots(opt, first, tmp_path / "two", every=3), 0, 7)
    checkpoint.save(tmp_path / "kept", step=7, model=first, optimizer=opt)
    again = make("power_ema", second)
    checkpoint.load(tmp_path / "kept", model=second, optimizer=again)
    trained(second, again, Snapshots(again, second, tmp_path / "two", every=3), 7, 12)

    files = sorted(f.name for f in (tmp_path / "whole").iterdir())
    assert len(files) == 4 and files == sorted(f.name for f in (tmp_path / "two").iterdir())
    for name in files:
        a, b = (load_file(tmp_path / run / name) for run in ("whole", "two"))
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    one, two = (post_hoc(tmp_path / run, length=0.15) for run in ("whole", "two"))
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("name", AVERAGES)
def test_as_a_pure_function(name):
    """The same path, and the same averages kept, as by the optimizer."""
    model = net().double()
    opt = make(name, model)
    (rule,) = opt.chains()
    params = {n: p.detach().clone() for n, p in model.named_parameters()}
    state = functional.init(rule, params)
    for i in range(5):
        opt.zero_grad()
        model(X.double() + 0.1 * i).square().mean().backward()
        grads = {n: p.grad.clone() for n, p in model.named_parameters()}
        opt.step()
        params, state = functional.step(rule, grads, state, params)
    for n, p in model.named_parameters():
        torch.testing.assert_close(params[n], p.detach(), rtol=1e-12, atol=1e-13)
        for slot, value in opt.state[p].items():
            if isinstance(value, torch.Tensor):
                kept = state[n][slot]
                torch.testing.assert_close(kept.reshape(value.shape), value, rtol=1e-12, atol=1e-13)
