"""Param groups: as torch takes them, late ones, and what a group may say of itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import piste
from tiny import assert_same, make, snapshot, tiny, train, weights


def test_groups_of_bare_parameters_as_torch_takes_them():
    model, twin = tiny(dtype=torch.float64), tiny(dtype=torch.float64)

    def groups(m):
        decay = [p for p in m.parameters() if p.dim() > 1]
        rest = [p for p in m.parameters() if p.dim() <= 1]
        return [
            {"params": iter(decay), "weight_decay": 0.3, "name": "decayed"},
            {"params": rest, "weight_decay": 0.0, "lr": 2e-2},
            {"params": []},
        ]

    opt, theirs = piste.AdamW(groups(model), lr=1e-2), torch.optim.AdamW(groups(twin), lr=1e-2)
    for mine, other in zip(opt.param_groups, theirs.param_groups, strict=True):
        for key in ("lr", "betas", "eps", "weight_decay"):
            assert mine[key] == other[key], key
        assert mine.get("name") == other.get("name")
    train(model, opt, 5), train(twin, theirs, 5)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_the_caller_s_groups_and_tensors_are_not_written():
    model, lr = tiny(), torch.tensor(0.1, dtype=torch.float64)
    mine = {"params": [model.head.weight], "weight_decay": 0.5, "lr": lr}
    opt = piste.AdamW([mine, {"params": [model.head.bias]}], lr=lr)
    assert mine == {"params": [model.head.weight], "weight_decay": 0.5, "lr": lr}
    torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    for g in opt.param_groups:
        g["lr"].mul_(0.5)
    assert lr == 0.1 and [float(g["lr"]) for g in opt.param_groups] == [0.05, 0.05]  # nor by each other


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_add_param_group_takes_late_parameters(name):
    model, more = tiny(), nn.Linear(8, 8)
    opt = make(name, model)
    train(model, opt, 2)
    steps = {n: opt.state[p]["step"] for n, p in model.named_parameters()}
    opt.add_param_group({"params": more.bias, "lr": 0.5})
    opt.add_param_group(
        {"params": [("late.weight", more.weight)], "optimizer": "AdamW", "weight_decay": 0.25}
    )
    bias, weight = opt.param_groups[-2:]
    assert (bias["optimizer"], weight["optimizer"]) == ("AdamW", "AdamW")
    assert weight["param_names"] == ["late.weight"] and weight["weight_decay"] == 0.25
    assert len(bias["param_names"]) == 1  # torch refuses unnamed groups beside named ones
    assert bias["lr"] == (0.5 if name == "AdamW" else 3e-4)  # Muon's own lr is not the rest's
    more(torch.randn(3, 8)).sum().backward()
    before = weights(more)
    opt.step()
    for n, p in more.named_parameters():
        assert not torch.equal(before[n], p) and opt.state[p]["step"] == 1
    after = {n: opt.state[p]["step"] for n, p in model.named_parameters()}
    assert after == {n: s + ("spare" not in n) for n, s in steps.items()}
    again = make(name, model)
    again.add_param_group({"params": more.bias})
    again.add_param_group({"params": [("late.weight", more.weight)], "optimizer": "AdamW"})
    again.load_state_dict(opt.state_dict())
    assert_same(snapshot(opt)[2], snapshot(again)[2])


def test_late_bare_matrices_go_to_the_matrix_chain_with_one_warning():
    model, more = tiny(), nn.Linear(8, 8)
    opt = piste.Muon(model)
    with pytest.warns(UserWarning, match="pass the module") as caught:
        opt.add_param_group({"params": list(more.parameters()), "lr": 0.5})
    assert len(caught) == 1
    assert [(g["optimizer"], g["lr"]) for g in opt.param_groups[-2:]] == [("Muon", 0.5), ("AdamW", 3e-4)]


def test_a_late_group_may_say_its_role_or_view():
    opt, fused = piste.Muon(tiny()), nn.Parameter(torch.randn(24, 8))
    opt.add_param_group({"params": [("table", nn.Parameter(torch.randn(5, 8)))], "role": "embedding"})
    opt.add_param_group(
        {"params": [("qkv", fused)], "role": "qkv", "view": "(three o) i -> three o i | three=3"}
    )
    table, qkv = opt.param_groups[-2:]
    assert (table["optimizer"], table["role"]) == ("AdamW", "embedding")
    assert (qkv["optimizer"], qkv["role"], qkv["lr"]) == ("Muon", "qkv", 0.02)
    before, fused.grad = fused.detach().clone(), torch.randn(24, 8)
    opt.step()
    for block in (fused.detach() - before).split(8):  # each is orthogonal by itself
        assert torch.linalg.matrix_norm(block, 2) < 0.02 * 1.3
    with pytest.raises(ValueError, match="'embeding'; did you mean 'embedding'"):
        opt.add_param_group({"params": [nn.Parameter(torch.ones(2))], "role": "embeding"})


def test_rest_takes_late_parameters_with_the_user_s_numbers():
    opt = piste.Muon(tiny(), rest=piste.AdamW.group(lr=7e-4, betas=(0.8, 0.9)))
    opt.add_param_group({"params": [nn.Parameter(torch.ones(3))]})
    assert opt.param_groups[-1]["lr"] == 7e-4 and opt.param_groups[-1]["betas"] == (0.8, 0.9)


def test_a_group_for_each_role_of_the_rest():
    """What is not named keeps the optimizer's own group; the table says where everything went."""
    model = tiny()
    opt = piste.Muon(model, rest={"embedding": piste.SGD.group(lr=0.3), "head": piste.Lion.group(lr=2e-3)})
    rows = {r["parameter"]: (r["role"], r["optimizer"], r["lr"]) for r in piste.explain(opt).rows}
    assert rows["table.weight"] == ("embedding", "SGD", 0.3)
    assert rows["head.weight"] == ("head", "Lion", 2e-3)
    assert rows["inner.weight"] == ("hidden", "Muon", 0.02)
    assert rows["norm.weight"] == ("norm", "AdamW", 3e-4) and rows["head.bias"][1] == "AdamW"
    before = weights(model)
    train(model, opt, 1)
    moved = (model.table.weight - before["table.weight"]).abs()
    torch.testing.assert_close(moved, 0.3 * model.table.weight.grad.abs())
    torch.testing.assert_close(
        (model.head.weight - before["head.weight"]).abs(), torch.full((11, 8), 2e-3), rtol=1e-3, atol=1e-8
    )


def test_a_group_for_every_other_role_and_one_for_all():
    others = {"*": piste.SGD.group(lr=0.5), "embedding": piste.AdamW.group(lr=0.1)}
    for rest, table in ((others, ("AdamW", 0.1)), (others["*"], ("SGD", 0.5))):
        opt = piste.Muon(tiny(), rest=rest)
        rows = {r["parameter"]: (r["optimizer"], r["lr"]) for r in piste.explain(opt).rows}
        assert rows["table.weight"] == table and rows["head.weight"] == ("SGD", 0.5)


def test_late_parameters_go_by_role_too():
    opt = piste.Muon(tiny(), rest={"embedding": piste.SGD.group(lr=0.3)})
    table = ("late", nn.Parameter(torch.ones(5, 4)))
    opt.add_param_group({"params": [table], "role": "embedding", "lr": 9.0, "momentum": 0.5})
    group = opt.param_groups[-1]
    assert (group["optimizer"], group["lr"], group["momentum"]) == ("SGD", 0.3, 0.5)
    opt.add_param_group({"params": [("gain", nn.Parameter(torch.ones(5)))]})
    assert opt.param_groups[-1]["optimizer"] == "AdamW"


def test_a_matrix_optimizer_may_have_a_rest_by_role():
    """Its checkpoint, loaded into one that was made alike, goes on alike."""
    by_role = {"embedding": piste.Lion.group(lr=1e-3), "*": piste.AdamW.group(lr=1e-2)}
    opts = []
    for _ in range(2):
        model = tiny()
        opts.append((model, piste.Muon(model, rest=by_role)))
    (model, opt), (twin, again) = opts
    train(model, opt, 3)
    twin.load_state_dict(model.state_dict())
    again.load_state_dict(opt.state_dict())
    train(model, opt, 2, start=3), train(twin, again, 2, start=3)
    assert_same(weights(model), weights(twin))
    assert opt.forecast_bytes() == opt.state_bytes()
