"""State and step in the host's memory. Where the model lives there too, the copies are made all the same."""

from __future__ import annotations

import copy

import pytest
import torch

import piste
from test_coded_weights import BY_GRADIENTS, give, net, train
from tiny import assert_same, make, weights


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_the_result_is_that_of_the_ordinary_step(name):
    model, twin = net(torch.float32), net(torch.float32)
    opt, plain = make(name, model, offload=True), make(name, twin)
    for i in range(4):
        train(model, opt, i, i + 1)
        train(twin, plain, i, i + 1)
        assert_same(weights(model), weights(twin))
    assert_same(opt.state_dict()["state"], plain.state_dict()["state"])
    assert opt.state_bytes() == opt.forecast_bytes() == plain.state_bytes()
    lived = {p.data_ptr() for p in model.parameters()}
    assert all(leaf.param.data_ptr() not in lived for leaves in opt.leaves() for leaf in leaves)


def test_weights_loaded_between_steps_are_seen():
    model, other = net(torch.float32), net(torch.float32)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
    opt = piste.SGD(model, lr=0.1, offload=True)
    train(model, opt, 0, 1)
    model.load_state_dict(other.state_dict())
    give(model, 1)
    opt.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.1 * p.grad)


def test_averages_are_shown_and_taken_away():
    model = net(torch.float32)
    opt = piste.ScheduleFreeAdamW(model, offload=True)
    train(model, opt, 0, 3)
    before = copy.deepcopy(weights(model))
    with opt.averaged(model):
        assert any(
            not torch.equal(a, b) for a, b in zip(before.values(), weights(model).values(), strict=True)
        )
    assert_same(before, weights(model))


def test_copies_go_on_alone():
    model = net(torch.float32)
    opt = piste.AdamW(model, offload=True, storage="8bit")
    train(model, opt, 0, 2)
    twin, other = copy.deepcopy((model, opt))
    for m, o in ((model, opt), (twin, other)):
        train(m, o, 2, 4)
    assert_same(weights(model), weights(twin))


def test_with_gradients_released():
    model, twin = net(torch.float32), net(torch.float32)
    opt, plain = piste.AdamW(model, offload=True), piste.AdamW(twin)
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    with piste.release_gradients(opt):
        model(x).square().mean().backward()
        opt.step()
    twin(x).square().mean().backward()
    plain.step()
    assert all(p.grad is None for p in model.parameters())
    torch.testing.assert_close(weights(model), weights(twin))


def test_what_looks_at_the_loss_is_refused():
    with pytest.raises(ValueError, match=r"offload=True .* sam of SAM evaluates the loss"):
        piste.SAM(net(torch.float32), offload=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
def test_state_and_masters_are_in_the_host_s_memory():
    model = net(torch.float32).cuda()
    opt = piste.AdamW(model, offload=True)
    train(model, opt, 0, 2)
    assert all(p.is_cuda for p in model.parameters())
    assert all(
        t.device.type == "cpu" for s in opt.state.values() for t in s.values() if isinstance(t, torch.Tensor)
    )
