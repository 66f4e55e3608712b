"""torch.optim and back, in the middle of a run: the same steps in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import piste
from piste._torch_state import TWINS, from_torch, to_torch, unlike
from tiny import assert_same, make, tiny, train, weights, words

CASES = {
    "SGD": ("SGD", {}, {}),
    "SGD momentum": ("SGD", {"momentum": 0.9, "weight_decay": 0.1}, {}),
    "SGD dampening": ("SGD", {"momentum": 0.9, "dampening": 0.5}, {}),
    "SGD nesterov": ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {}),
    "Adam": ("Adam", {"weight_decay": 0.1}, {}),
    "AMSGrad": ("AMSGrad", {"weight_decay": 0.1, "betas": (0.5, 0.7)}, {"amsgrad": True}),
    "AdamW": ("AdamW", {"weight_decay": 0.1, "eps": 1e-4}, {}),
    "AdaMax": ("AdaMax", {"weight_decay": 0.1}, {}),
    "RMSProp": ("RMSProp", {"weight_decay": 0.1}, {}),
    "RMSProp centered": ("RMSProp", {"momentum": 0.9, "centered": True}, {}),
    "Adagrad": ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}, {}),
}
every_case = pytest.mark.parametrize("case", CASES)


def pair(case, seed=0):
    """Ours and torch's, each over a model of its own with the same weights."""
    name, hyper, flags = CASES[case]
    a, b = tiny(seed, torch.float64), tiny(seed, torch.float64)
    theirs = getattr(torch.optim, TWINS[name].theirs)
    return a, make(name, a, lr=3e-3, **hyper), b, theirs(b.parameters(), lr=3e-3, **hyper, **flags)


def assert_close(a, b):
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


@every_case
@pytest.mark.parametrize("done", [0, 1, 3])
def test_torch_continues_what_piste_began(case, done):
    model, opt, twin, theirs = pair(case)
    for group in theirs.param_groups:
        group.update(lr=1.0)
    train(model, opt, done)
    twin.load_state_dict(model.state_dict())
    saved = to_torch(opt)
    held = copy.deepcopy(saved)
    theirs.load_state_dict(copy.deepcopy(saved))  # torch's loader goes on with the tensors it is given
    train(model, opt, 4, done), train(twin, theirs, 4, done)
    assert_close(model, twin)
    assert_same(held, saved)  # copies: the run did not write into it


@every_case
def test_piste_continues_what_torch_began_and_hands_it_back(case):
    model, _, twin, theirs = pair(case)
    _, _, third, back = pair(case)
    train(twin, theirs, 3)
    third.load_state_dict(twin.state_dict())
    back.load_state_dict(theirs.state_dict())  # torch's own continuation
    opt = from_torch(theirs)
    assert opt.param_groups[0]["optimizer"] == CASES[case][0]
    assert all(opt.state[p]["step"] == min(3, opt.state[p]["step"]) for p in twin.parameters())
    train(twin, opt, 3, 3), train(third, back, 3, 3)
    assert_close(twin, third)
    model.load_state_dict(twin.state_dict())
    again = type(theirs)(model.parameters())
    again.load_state_dict(to_torch(opt))
    train(model, again, 3, 6), train(third, back, 3, 6)
    assert_close(model, third)


def test_steps_and_dtypes_are_kept_as_torch_keeps_them():
    for case in CASES:
        model, opt, twin, theirs = pair(case)
        train(model, opt, 2), train(twin, theirs, 2)
        ours, real = to_torch(opt), theirs.state_dict()
        assert sorted(ours["param_groups"][0]) == sorted(real["param_groups"][0]), case
        held = {i: {k: v for k, v in s.items() if v is not None} for i, s in real["state"].items()}
        held = {i: s for i, s in held.items() if s}
        assert_same({i: dict(sorted(s.items())) for i, s in ours["state"].items() if s}.keys(), held.keys())
        for i, values in held.items():
            assert {k: (v.dtype, v.shape) for k, v in values.items()} == {
                k: (v.dtype, v.shape) for k, v in ours["state"][i].items()
            }


def split(model):
    hidden = [
        p
        for n, p in model.named_parameters()
        if n.split(".")[0] in ("inner", "spare", "outer") and p.dim() == 2
    ]
    return hidden, [p for p in model.parameters() if all(p is not h for h in hidden)]


def test_muon_and_its_rest_become_two_of_torch_s_in_any_order():
    model = tiny()
    opt = piste.Muon(model, weight_decay=0.1)
    train(model, opt, 3)
    hidden, rest = split(model)
    muon = torch.optim.Muon(hidden[::-1], lr=1.0)
    adam = torch.optim.AdamW([{"params": rest[3:]}, {"params": rest[:3]}])
    with pytest.raises(ValueError, match="AdamW and Muon work side by side"):
        to_torch(opt)
    for theirs in (muon, adam):
        theirs.load_state_dict(to_torch(opt, like=theirs))
    assert muon.param_groups[0]["lr"] == 0.02 and adam.param_groups[1]["lr"] == 3e-4
    start = copy.deepcopy(model.state_dict())
    opt.zero_grad()
    model.loss(words()).backward()
    opt.step()
    ours = weights(model)
    model.load_state_dict(start)
    muon.step(), adam.step()
    for name, p in model.named_parameters():
        way = (ours[name] - start[name]).norm()
        bound = 2e-2 if any(p is h for h in hidden) else 1e-5  # the iteration runs in bfloat16
        assert (p - ours[name]).norm() <= bound * way, name
        assert way > 0 or name.startswith("spare")


def test_a_group_of_like_must_not_mix_rates():
    model = tiny()
    a, b = split(model)
    opt = piste.AdamW([{"params": a, "lr": 0.1}, {"params": b, "lr": 0.2}])
    like = torch.optim.AdamW(model.parameters())
    with pytest.raises(ValueError, match="another lr than the parameters before it"):
        to_torch(opt, like=like)
    with pytest.raises(ValueError, match="like is a SGD"):
        to_torch(opt, like=torch.optim.SGD(model.parameters()))
    with pytest.raises(ValueError, match="over the same model"):
        to_torch(opt, like=torch.optim.AdamW(tiny().parameters()))


def test_complex_weights_go_both_ways():
    w = nn.Parameter(torch.randn(3, dtype=torch.complex128))
    v = nn.Parameter(w.detach().clone())
    opt, theirs = piste.AdamW([w], lr=0.1), torch.optim.AdamW([v], lr=0.1)

    def go(p, o):
        o.zero_grad()
        (p - (1 + 2j)).abs().square().sum().backward()
        o.step()

    go(w, opt), go(v, theirs)
    theirs.load_state_dict(to_torch(opt))
    opt = from_torch(theirs)
    w = v
    u = nn.Parameter(v.detach().clone())
    other = torch.optim.AdamW([u], lr=0.1)
    other.load_state_dict(theirs.state_dict())
    go(w, opt), go(u, other)
    torch.testing.assert_close(w, u, rtol=1e-12, atol=1e-12)


def test_names_and_schedulers_notes_come_along():
    model = tiny()
    theirs = torch.optim.AdamW(model.named_parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(theirs, 1)
    opt = from_torch(theirs)
    assert opt.param_groups[0]["param_names"] == [n for n, _ in model.named_parameters()]
    assert to_torch(opt)["param_groups"][0]["initial_lr"] == opt.param_groups[0]["initial_lr"] == 0.1


# refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Lion", "SOAP", "LAMB", "ScheduleFreeAdamW", "LBFGS", "SAM"])
def test_what_torch_does_not_have_is_refused_by_name(name):
    opt = make(name, tiny())
    with pytest.raises(ValueError, match=f"weight is {name}'s, and torch.optim has no {name}"):
        to_torch(opt) if len(opt.param_groups) == 1 else to_torch(
            opt, torch.optim.SGD(opt.param_groups[0]["params"])
        )


def test_variants_that_torch_does_not_have_are_refused_by_name():
    for name in ("AMSGrad", "AdaMax"):
        with pytest.raises(ValueError, match="has no paper=True"):
            to_torch(make(name, tiny(), paper=True))
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    opt = piste.Muon([piste.Muon.group([(n, p) for n, p in conv.named_parameters() if p.dim() == 4])])
    with pytest.raises(ValueError, match=r"0\.weight of shape \(4, 3, 3, 3\)"):
        to_torch(opt)


@pytest.mark.parametrize(
    "theirs, flag",
    [
        (lambda p: torch.optim.SGD(p, maximize=True), "SGD here, but not with maximize=True"),
        (lambda p: torch.optim.AdamW(p, amsgrad=True), "AdamW here, but not with amsgrad=True"),
        (lambda p: torch.optim.NAdam(p), "no twin of NAdam"),
        (
            lambda p: torch.optim.Muon([q for q in p if q.dim() == 2], adjust_lr_fn="match_rms_adamw"),
            "match_rms_adamw",
        ),
        (lambda p: torch.optim.Muon([q for q in p if q.dim() == 2], eps=1e-3), "eps=0.001"),
    ],
)
def test_what_piste_does_not_have_is_refused_by_name(theirs, flag):
    with pytest.raises(ValueError, match=flag):
        from_torch(theirs(list(tiny().parameters())))


def test_words_of_torch_that_change_nothing_are_taken():
    params = list(tiny().parameters())
    assert (
        from_torch(torch.optim.Adam(params, decoupled_weight_decay=True, weight_decay=0.1)).factory.name
        == "AdamW"
    )
    assert from_torch(torch.optim.AdamW(params, amsgrad=True, weight_decay=0.0)).factory.name == "AMSGrad"
    assert from_torch(torch.optim.Adam(params, foreach=True, capturable=True)).factory.name == "Adam"
    matrices = [p for p in params if p.dim() == 2]
    assert from_torch(torch.optim.Muon(matrices, adjust_lr_fn="original")).factory.name == "Muon"
    assert unlike("Lion", {}) == []
    saved = torch.optim.AdamW(params, weight_decay=0.1).state_dict()["param_groups"][0]
    assert unlike("Adam", saved) == ["decoupled_weight_decay=True"]
