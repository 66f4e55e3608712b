"""Slots kept in fewer bits, of every optimizer: bytes as forecast, exact resume, conversion between codecs."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch import nn

import piste
from piste import _compile
from piste._storage import resolve
from tiny import OPTIMIZERS, assert_same, every_optimizer, make, weights

PRESETS = ("8bit", "4bit", "bf16")


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 96), nn.Tanh(), nn.Linear(96, 64), nn.Tanh(), nn.Linear(64, 64))


def train(model, opt, start, stop):
    for i in range(start, stop):
        x = torch.randn(80, 64, generator=torch.Generator().manual_seed(i))

        def closure(x=x):
            opt.zero_grad()
            loss = (model(x) - x.roll(1, 1)).square().mean()
            loss.backward()
            return loss

        loss = opt.step(closure)
    return float(loss.detach())


def coded(opt):
    return [name for leaves in opt.leaves() for leaf in leaves for name in leaf.codings]


@every_optimizer
@pytest.mark.parametrize("storage", PRESETS)
def test_bytes_are_as_forecast_and_a_resumed_run_is_the_same(name, storage):
    model = net()
    opt = make(name, model, storage=storage)
    train(model, opt, 0, 3)
    assert opt.state_bytes() == opt.forecast_bytes()
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(model)
    other = make(name, twin, storage=storage)
    other.load_state_dict(torch.load(file, weights_only=True))
    for m, o in ((model, opt), (twin, other)):
        train(m, o, 3, 6)
    assert_same(weights(model), weights(twin))
    assert_same(opt.state_dict()["state"], other.state_dict()["state"])


@every_optimizer
def test_eight_bits_take_a_quarter(name):
    plain, small = make(name, net()), make(name, net(), storage="8bit")
    kept = {n for leaves in plain.leaves() for leaf in leaves if leaf.param.dim() == 2 for n in leaf.state}
    slots = [
        (n, slot) for c in plain.chains() for n, slot, _ in c.slots() if "m n" in slot.axes
    ]  # rows are too short
    asked = {n for n, slot in slots if n in kept and slot.kind in ("moment", "square")}
    declared = {
        n for c in plain.chains() for n, slot, _ in c.slots() if slot.code
    }  # in few bits of themselves
    others = {  # moments of another shape than the parameter's
        n for c in plain.chains() for n, slot, _ in c.slots() if slot.kind == "moment" and " " in slot.axes
    }
    assert asked <= set(coded(small)) <= asked | declared | others
    if coded(small):
        assert small.state_bytes() < plain.state_bytes()
    if name in ("AdamW", "Lion", "SGD"):
        matrices = sum(p.numel() for p in net().parameters() if p.dim() == 2)
        per = {"AdamW": 2, "Lion": 1, "SGD": 0}[name]
        vectors = sum(p.numel() for p in net().parameters() if p.dim() == 1)
        assert small.state_bytes() <= per * (matrices * (1 + 4 / 64) + 4 * vectors)


def test_a_step_is_decode_step_encode():
    """The textbook: what was kept is decoded, stepped on in float32, and encoded again."""
    model, twin = net(), net()
    opt = piste.AdamW(model, storage="8bit", compile=False)
    plain = piste.AdamW(twin, compile=False, fused=False)
    codecs = {n: resolve("8bit", n, s) for n, s, _ in plain.chains()[0].slots()}
    for i in range(4):
        for leaves, theirs in zip(plain.leaves(), opt.leaves(), strict=True):
            for leaf, coded_leaf in zip(leaves, theirs, strict=True):
                for name in coded_leaf.codings:
                    parts = coded_leaf.parts(name)
                    leaf.state[name].copy_(codecs[name].decode(parts).view(leaf.shape))
        train(model, opt, i, i + 1)
        train(twin, plain, i, i + 1)
        assert_same(weights(model), weights(twin))


@pytest.mark.parametrize("name", ["AdamW", "Lion", "Muon", "SOAP", "ScheduleFreeAdamW"])
@pytest.mark.parametrize(("was", "now"), [(None, "8bit"), ("8bit", None), ("8bit", "4bit"), ("bf16", "8bit")])
def test_a_state_of_another_codec_is_converted(name, was, now):
    model = net()
    opt = make(name, model, storage=was)
    train(model, opt, 0, 3)
    other = make(name, copy.deepcopy(model), storage=now)
    other.load_state_dict(opt.state_dict())
    for mine, theirs in zip(other.leaves(), opt.leaves(), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            for slot in b.codings.keys() | a.codings.keys():
                expected = b.read(slot)
                if slot in a.codings:
                    a.write(slot, expected)  # encoding twice what was encoded once changes nothing
                assert torch.equal(a.read(slot), a.read(slot))
                size = expected.abs().amax()
                assert (a.read(slot) - expected).abs().amax() <= (0.2 if now == "4bit" else 0.01) * size


@every_optimizer
def test_training_in_eight_bits_stays_near(name):
    model, twin = net(), net()
    hyper = {"lr": 1e-3} if name == "RowDescent" else {}  # its step is the sum of the rows' lengths long
    ours, theirs = (
        train(model, make(name, model, storage="8bit", **hyper), 0, 15),
        train(twin, make(name, twin, **hyper), 0, 15),
    )
    assert math.isfinite(ours)
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.skipif(not _compile.available("cpu"), reason="no C++ compiler at hand")
@pytest.mark.parametrize("storage", ["8bit", {"exp_avg": "int8", "exp_avg_sq": "bf16"}])
def test_compiled_is_eager(storage, monkeypatch):
    """One kernel that decodes, steps and encodes; in several pieces, as large tensors are."""
    monkeypatch.setattr("piste._flat_coded.ROWS", 40)
    model, twin = net(), net()
    opts = [piste.AdamW(m, lr=0.01, storage=storage, compile=c) for m, c in ((model, True), (twin, False))]
    before = None
    for i in range(4):
        train(model, opts[0], i, i + 1)
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            q.grad = p.grad.clone()
        opts[1].step()
        before = len(_compile.compiled_graphs) if i == 0 else before
        torch.testing.assert_close(weights(model), weights(twin), rtol=1e-4, atol=1e-5)
    assert len(_compile.compiled_graphs) == before
    for a, b in zip(*(o.leaves()[0] for o in opts), strict=True):
        for name in a.codings:
            assert a.stored(name).dtype == b.stored(name).dtype
            size = b.read(name).abs().amax()
            assert (a.read(name) - b.read(name)).abs().amax() <= 0.02 * size


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match=r"8bits.*did you mean '8bit'"):
        piste.AdamW(net(), storage="8bits")
    with pytest.raises(ValueError, match=r"exp_avg_sqq.*did you mean 'exp_avg_sq'"):
        piste.AdamW(net(), storage={"exp_avg_sqq": "int8"})
    with pytest.raises(ValueError, match=r"int9.*did you mean"):
        piste.AdamW(net(), storage={"exp_avg_sq": "int9"})


def test_weights_are_refused_before_anything_is_made():
    with pytest.raises(ValueError, match=r"keeps bf16 weights.*model.bfloat16"):
        piste.AdamW(net(), storage={"param": "bf16_error_bits"})
    with pytest.raises(ValueError, match=r"bf16_error_bit.*did you mean 'bf16_error_bits'"):
        piste.AdamW(net().bfloat16(), storage={"param": "bf16_error_bit"})


def test_a_group_s_own_storage_is_checked_too():
    model = net()
    opt = piste.AdamW(
        [{"params": model[0].parameters(), "storage": "8bit"}, {"params": model[2].parameters()}]
    )
    assert [bool(leaf.codings) for leaves in opt.leaves() for leaf in leaves] == [True, False, False, False]
    with pytest.raises(ValueError, match="exp_avgg"):
        piste.AdamW([{"params": model[4].parameters(), "storage": {"exp_avgg": "int8"}}])


def test_names_of_either_group_are_known():
    opt = piste.Muon(net(), storage={"exp_avg_sq": "int8"})
    assert set(coded(opt)) == {"exp_avg_sq"}


def test_there_are_optimizers_to_test():
    assert len(OPTIMIZERS) >= 18
