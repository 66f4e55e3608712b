"""Saving and loading: exact, by name, in declared dtypes, and all or nothing."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn

import piste
from tiny import assert_same, every_optimizer, make, refused, snapshot, tiny, train, weights


def through_a_file(state_dict):
    torch.save(state_dict, buffer := io.BytesIO())
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@every_optimizer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_resume_is_bitwise_no_interruption(name, dtype):
    whole = tiny(dtype=dtype)
    opt = make(name, whole)
    train(whole, opt, 3)
    saved_model, saved = through_a_file(whole.state_dict()), through_a_file(opt.state_dict())
    train(whole, opt, 4, 3)

    resumed = tiny(seed=1, dtype=dtype)
    again = make(name, resumed)
    resumed.load_state_dict(saved_model)
    again.load_state_dict(saved)
    train(resumed, again, 4, 3)
    assert_same(weights(whole), weights(resumed))
    assert_same(snapshot(opt), snapshot(again))


@every_optimizer
def test_resume_before_the_first_step_and_after_one(name):
    for done in (0, 1):
        whole = tiny()
        opt = make(name, whole)
        train(whole, opt, done)
        saved = through_a_file((whole.state_dict(), opt.state_dict()))
        train(whole, opt, 3, done)
        resumed = tiny(seed=1)
        again = make(name, resumed)  # made before its weights arrive
        resumed.load_state_dict(saved[0])
        again.load_state_dict(saved[1])
        train(resumed, again, 3, done)
        assert_same(weights(whole), weights(resumed))


@every_optimizer
def test_state_is_tensors_and_numbers_of_its_own_dtype(name):
    model = tiny(dtype=torch.bfloat16)
    opt = make(name, model)
    fresh = snapshot(opt)[2]
    train(model, opt, 2)
    saved = opt.state_dict()
    assert set(saved) == {"state", "param_groups"}
    for state in saved["state"].values():
        assert all(isinstance(v, (Tensor, int)) for v in state.values())
        assert not any(v.dtype == torch.bfloat16 for v in state.values() if isinstance(v, Tensor))
    for before, after in zip(fresh, snapshot(opt)[2], strict=True):
        for a, b in zip(before, after, strict=True):
            assert {k: getattr(v, "dtype", int) for k, v in a.items()} == {
                k: getattr(v, "dtype", int) for k, v in b.items()
            }  # all slots exist from the start and keep their dtype
    again = make(name, tiny(dtype=torch.bfloat16))
    again.load_state_dict(through_a_file(saved))
    assert_same(snapshot(opt)[2], snapshot(again)[2])


def test_loading_copies_and_hands_nothing_over():
    model = tiny()
    opt, other = piste.AdamW(model), piste.AdamW(tiny())
    train(model, opt, 2)
    saved = copy.deepcopy(opt.state_dict())
    kept = copy.deepcopy(saved)
    other.load_state_dict(saved)
    train(model, other, 1)
    assert_same(kept, saved)
    mine = {id(v) for s in other.state.values() for v in s.values() if isinstance(v, Tensor)}
    assert not mine & {id(v) for s in saved["state"].values() for v in s.values()}
    opt.load_state_dict(state_dict=opt.state_dict())  # onto itself, by keyword as torch.distributed does
    assert_same(snapshot(opt)[2], copy.deepcopy(snapshot(opt)[2]))


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_parameters_are_matched_by_name_in_any_order(name):
    model, twin = tiny(), tiny(seed=1)
    opt = make(name, model)
    train(model, opt, 3)
    saved = opt.state_dict()
    if name == "AdamW":
        other = piste.AdamW(reversed(list(twin.named_parameters())))
    else:
        hidden = [
            n
            for n, _ in twin.named_parameters()
            if n.split(".")[0] in ("inner", "spare", "outer") and "weight" in n
        ]
        named = dict(twin.named_parameters())
        rest = [(n, p) for n, p in reversed(named.items()) if n not in hidden]
        other = piste.Muon(
            [
                {"params": rest, **piste.AdamW.group()},
                {"params": [(n, named[n]) for n in reversed(hidden)], "optimizer": "Muon"},
            ]
        )
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(saved)
    train(model, opt, 2, 3), train(twin, other, 2, 3)
    assert_same(weights(model), weights(twin))


def test_names_that_wrappers_put_in_front_do_not_matter():
    model, twin = tiny(), tiny(seed=1)
    opt = piste.AdamW(model)
    train(model, opt, 2)
    wrapped = nn.Module()
    wrapped.module = nn.Module()
    wrapped.module._orig_mod = twin
    other = piste.AdamW(wrapped)
    assert other.param_groups[0]["param_names"][0] == "module._orig_mod.table.weight"
    other.load_state_dict(opt.state_dict())
    assert_same(snapshot(opt)[2], snapshot(other)[2])


def test_bare_parameters_are_matched_by_position():
    model, twin = tiny(), tiny(seed=1)
    opt, other = piste.AdamW(model.parameters()), piste.AdamW(twin)
    train(model, opt, 2)
    other.load_state_dict(opt.state_dict())
    assert_same(snapshot(opt)[2], snapshot(other)[2])
    assert other.param_groups[0]["param_names"][0] == "table.weight"


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (piste.AdamW, torch.optim.AdamW),
        (piste.Adam, torch.optim.Adam),
        (piste.AdaMax, torch.optim.Adamax),
        (piste.SGD, torch.optim.SGD),
        (piste.RMSProp, torch.optim.RMSprop),
    ],
    ids=lambda c: c.__module__.split(".")[0],
)
def test_a_torch_checkpoint_continues_in_piste(ours, theirs):
    extra = {"momentum": 0.9} if theirs is torch.optim.SGD else {}
    model, twin = tiny(dtype=torch.float64), tiny(dtype=torch.float64)
    old = theirs(model.parameters(), lr=3e-3, **extra)
    torch.optim.lr_scheduler.StepLR(old, 5)
    opt = ours(twin.parameters(), lr=1.0, **extra)
    twin.load_state_dict(model.state_dict())
    opt.load_state_dict(through_a_file(old.state_dict()))  # not a step taken: no state yet
    train(model, old, 3)
    twin.load_state_dict(model.state_dict())
    opt.load_state_dict(through_a_file(old.state_dict()))
    group = opt.param_groups[0]
    assert group["lr"] == 3e-3 and group["initial_lr"] == 3e-3 and "foreach" not in group
    assert theirs is torch.optim.SGD or group["step"] == 3  # torch's SGD does not count
    train(model, old, 3, 3), train(twin, opt, 3, 3)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_state_goes_where_the_weights_are():
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    opt = piste.AdamW(model)
    weight = model[0].weight
    saved = copy.deepcopy(opt.state_dict())
    saved["state"][0]["exp_avg"].copy_(torch.arange(weight.numel()).view_as(weight))
    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    opt.load_state_dict(saved)
    assert opt.state[weight]["exp_avg"].stride() == weight.stride()
    assert torch.equal(opt.state[weight]["exp_avg"], saved["state"][0]["exp_avg"])


# misfits: each names what does not fit, and nothing is loaded ------------------------------------------------------


MISFITS = {
    "a shape": (
        lambda s: s["state"][2].update(exp_avg=torch.zeros(3)),
        ["inner.bias.exp_avg", "shape (3,)", "(8,)"],
    ),
    "a missing slot": (lambda s: s["state"][2].pop("exp_avg_sq"), ["inner.bias", "missing exp_avg_sq"]),
    "an unknown slot": (
        lambda s: s["state"][2].update(extra=torch.zeros(8)),
        ["inner.bias", "unknown extra"],
    ),
    "a slot of the wrong kind": (
        lambda s: s["state"][2].update(exp_avg="zeros"),
        ["inner.bias.exp_avg", "str"],
    ),
    "a broken step": (lambda s: s["state"][10].update(step="three"), ["head.bias.step", "three"]),
    "a missing parameter": (
        lambda s: (s["param_groups"][0]["params"].pop(), s["param_groups"][0]["param_names"].pop()),
        ["10 parameters", "head.bias"],
    ),
    "another name": (
        lambda s: s["param_groups"][0]["param_names"].__setitem__(0, "tabel.weight"),
        ["tabel.weight", "table.weight"],
    ),
    "another optimizer": (lambda s: s["param_groups"][0].update(optimizer="Lion"), ["Lion", "AdamW"]),
    "a broken rate": (lambda s: s["param_groups"][0].update(lr=float("nan")), ["lr", "finite"]),
    "broken betas": (lambda s: s["param_groups"][0].update(betas=(0.9, 1.5)), ["betas", "[0, 1)"]),
    "no groups": (lambda s: s.pop("param_groups"), ["param_groups"]),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_state_dict_that_does_not_fit_changes_nothing(misfit):
    change, says = MISFITS[misfit]
    model, other = tiny(), tiny()
    opt, source = piste.AdamW(model), piste.AdamW(other, lr=0.5)
    train(model, opt, 1), train(other, source, 2)
    saved = copy.deepcopy(source.state_dict())
    change(saved)
    refused(opt, lambda: opt.load_state_dict(saved), ValueError, *says)
    opt.load_state_dict(source.state_dict())
    assert opt.param_groups[0]["lr"] == 0.5


def test_a_matrix_optimizer_s_file_does_not_fit_another_routing():
    model = tiny()
    opt, lion = piste.Muon(model), piste.Lion(tiny())
    refused(
        opt, lambda: opt.load_state_dict(lion.state_dict()), ValueError, "saved by Lion", "nothing was loaded"
    )


def test_distributed_checkpointing_reads_and_writes_it():
    """torch.distributed.checkpoint's own view of an optimizer: parameters by their names in the model."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    for name in ("AdamW", "Muon"):
        model, twin = tiny(), tiny(seed=1)
        opt, other = make(name, model), make(name, twin)
        train(model, opt, 2)
        saved = get_optimizer_state_dict(model, opt)
        assert set(saved["state"]) == {n for n, _ in model.named_parameters()}
        set_optimizer_state_dict(twin, other, copy.deepcopy(saved))
        assert_same(snapshot(opt)[2], snapshot(other)[2])
