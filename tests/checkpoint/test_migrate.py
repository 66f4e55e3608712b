"""Warm migration: what is taken over, what is not, and that the first step afterwards is the one it should be."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

import piste
from piste import chain, transforms
from piste._migrate import migrate
from piste._migrate._meaning import MEANINGS
from tiny import OPTIMIZERS, assert_same, make, snapshot, tiny, train, weights


@pytest.fixture
def registered(monkeypatch):
    from piste import _registry

    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))


def warm(name, steps=5, dtype=torch.float64, **hyper):
    model = tiny(dtype=dtype)
    opt = make(name, model, **hyper)
    train(model, opt, steps)
    return model, opt


def matrices(model):
    return {n: p for n, p in model.named_parameters() if n in ("inner.weight", "outer.weight")}


def rows(report):
    return {r["parameter"]: r for r in report.rows}


def close(a: Tensor, b: Tensor, bound=1e-12):
    torch.testing.assert_close(a, b, rtol=bound, atol=bound)


def test_the_table_of_meanings_speaks_of_slots_and_rates_that_exist():
    for (name, slot), meaning in MEANINGS.items():
        declared = piste.get(name, "transform").target
        assert declared.slots[slot].kind == {"gradient": "moment", "square": "square"}[meaning.of]
        assert meaning.beta in ("", *declared.hyper)


def test_muon_after_adamw_steps_as_if_its_momentum_had_been_exp_avg():
    model, old = warm("AdamW", betas=(0.9, 0.99))
    twin = copy.deepcopy(model)
    new, hand = piste.Muon(model), piste.Muon(twin)
    report = rows(migrate(old, new))
    pairs = dict(zip(model.parameters(), twin.parameters(), strict=True))
    for p, q in pairs.items():
        held = old.state[p]
        names = {"momentum_buffer": "exp_avg", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}
        for slot in [k for k in hand.state[q] if k != "step"]:
            hand.state[q][slot].copy_(held[names[slot]])
        hand.state[q]["step"] = held["step"]
    # the rest has another β₁, β₂ (0.9, 0.95): both averages debiased stay what they were
    for p, q in pairs.items():
        if "exp_avg_sq" in hand.state[q] and old.state[p]["step"]:
            hand.state[q]["exp_avg_sq"].mul_((1 - 0.95**5) / (1 - 0.99**5))
    for group in hand.param_groups:
        group["step"] = 5
    assert_same(snapshot(new)[0], snapshot(hand)[0])
    train(model, new, 1, 5), train(twin, hand, 1, 5)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        close(a, b)
    assert report["inner.weight"] == {
        "parameter": "inner.weight", "old": "AdamW", "new": "Muon", "step": 5,
        "kept": ["exp_avg -> momentum_buffer"], "lost": ["exp_avg_sq"], "fresh": [],
    }  # fmt: skip
    assert report["head.bias"]["kept"][0] == "exp_avg" and not report["head.bias"]["lost"]
    assert report["spare.weight"]["step"] == 0 and report["spare.weight"]["fresh"] == ["momentum_buffer"]


def test_soap_after_adamw_is_adamw_until_its_basis_turns():
    hyper = {"betas": (0.9, 0.95), "eps": 1e-30, "weight_decay": 0.0, "lr": 1e-3}
    model, old = warm("AdamW", **hyper)
    twin = copy.deepcopy(model)
    other = piste.AdamW(twin, **hyper)
    other.load_state_dict(old.state_dict())
    new = piste.SOAP(model, **hyper, precondition_frequency=8)
    report = rows(migrate(old, new))["inner.weight"]
    assert report["step"] == 5 and not report["fresh"] and not report["lost"]
    assert "identity -> Q_L" in report["kept"] and "exp_avg_sq summed -> L" in report["kept"]
    v = old.state[model.inner.weight]["exp_avg_sq"] / (1 - 0.95**5)
    close(new.state[model.inner.weight]["L"], v.sum(1).diag())
    close(new.state[model.inner.weight]["R"], v.sum(0).diag())
    train(model, new, 3, 5), train(twin, other, 3, 5)  # the basis turns at the end of step 8
    for name, p in matrices(model).items():
        close(p, dict(twin.named_parameters())[name], 1e-10)
    p = model.inner.weight
    q = new.state[p]["Q_L"]
    assert not torch.equal(q, torch.eye(8, dtype=q.dtype))
    close(q @ q.mT, torch.eye(8, dtype=q.dtype), 1e-10)
    close(new.state[p]["L"], new.state[p]["L"].mT)
    before = model.loss(torch.zeros(2, 5, dtype=torch.long))
    train(model, new, 20, 8)
    assert all(p.isfinite().all() for p in model.parameters()) and before.isfinite()


def test_soap_hands_its_moments_back_out_of_the_basis():
    model, old = warm("SOAP", 13, betas=(0.95, 0.9))
    held = old.state[model.inner.weight]
    left, right = held["Q_L"], held["Q_R"]
    new = piste.AdamW(model, betas=(0.95, 0.9))
    report = rows(migrate(old, new))["inner.weight"]
    taken = new.state[model.inner.weight]
    close(taken["exp_avg"], left @ held["exp_avg"] @ right.mT)
    every = torch.stack(
        [(left[:, [a]] * right[:, b]).square() * held["exp_avg_sq"][a, b] for a in range(8) for b in range(8)]
    )
    close(taken["exp_avg_sq"], every.sum(0))
    assert taken["step"] == held["step"] == 12
    assert report["kept"] == [
        "exp_avg out of its basis -> exp_avg",
        "exp_avg_sq out of its basis -> exp_avg_sq",
    ]
    assert report["lost"] == ["L", "R", "Q_L", "Q_R"] and report["fresh"] == []


def test_lion_after_adamw_and_adamw_after_lion():
    model, old = warm("AdamW")
    new = piste.Lion(model)
    report = migrate(old, new)
    for p in model.parameters():
        assert torch.equal(new.state[p]["exp_avg"], old.state[p]["exp_avg"])
    assert rows(report)["inner.bias"]["lost"] == ["exp_avg_sq"]
    # without a second moment a first one would be debiased wrongly: all of Adam starts fresh, and its count
    back = piste.AdamW(model)
    report = rows(migrate(new, back))["inner.bias"]
    assert report["kept"] == [] and report["lost"] == ["exp_avg"] and report["step"] == 0
    fresh = piste.AdamW(twin := copy.deepcopy(model))
    train(model, back, 2, 5), train(twin, fresh, 2, 5)
    assert_same(weights(model), weights(twin))


def test_sgd_sums_and_muon_averages():
    model, old = warm("SGD", 40, momentum=0.9, lr=0.01)
    new = piste.Muon([piste.Muon.group(matrices(model).items(), momentum=0.9)])
    report = migrate(old, new)
    for p in matrices(model).values():
        close(new.state[p]["momentum_buffer"], old.state[p]["momentum_buffer"] * 0.1)
    assert rows(report)["inner.weight"]["kept"] == ["momentum_buffer × 0.1 -> momentum_buffer"]
    back = piste.SGD(model, momentum=0.9)
    migrate(new, back)
    for p in matrices(model).values():
        close(back.state[p]["momentum_buffer"], old.state[p]["momentum_buffer"])
        assert back.state[p]["step"] == 40
    assert back.state[model.head.weight]["step"] == 0  # not in Muon


def test_sums_and_means_of_a_constant_gradient_mean_the_same():
    """With g = c at every step, each rule's debiased mean is c and its mean square c², whatever the rates."""
    c = torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64)

    def stepped(opt, p, n):
        for _ in range(n):
            p.grad = c.clone()
            opt.step()
        return opt

    def adamw(p):
        return piste.AdamW([p], betas=(0.8, 0.97), lr=0.0)

    for make_old in (
        lambda p: piste.RMSProp([p], alpha=0.9, lr=0.0),
        lambda p: piste.RMSProp([p], alpha=0.9, lr=0.0, centered=True),
        lambda p: piste.Adagrad([p], lr=0.0),
        lambda p: piste.AMSGrad([p], betas=(0.5, 0.6), lr=0.0),
        lambda p: piste.LAMB([p], lr=0.0),
    ):
        p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        new = adamw(p)
        migrate(stepped(make_old(p), p, 7), new)
        state = new.state[p]
        assert state["step"] == 7
        close(state["exp_avg_sq"] / (1 - 0.97**7), c**2)
        if make_old(p).factory.name in ("AMSGrad", "LAMB"):
            close(state["exp_avg"] / (1 - 0.8**7), c)
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    old = stepped(adamw(p), p, 7)
    totals, largest = piste.Adagrad([p]), piste.AMSGrad([p], betas=(0.8, 0.97))
    migrate(old, totals), migrate(old, largest)
    close(totals.state[p]["sum"], 7 * c**2)
    assert torch.equal(largest.state[p]["max_exp_avg_sq"], old.state[p]["exp_avg_sq"])


def test_weights_that_are_copied_are_today_s():
    model, old = warm("AdamW")
    new = piste.ScheduleFreeAdamW(model)
    report = migrate(old, new)
    for n, p in model.named_parameters():
        if not n.startswith("spare"):
            assert torch.equal(new.state[p]["z"], p) and new.state[p]["step"] == 5
    assert "z" in rows(report)["head.bias"]["fresh"]
    before = weights(model)
    new.param_groups[0]["lr"] = 0.0
    train(model, new, 1, 5)
    assert_same(before, weights(model))


def test_a_momentum_of_scaled_steps_is_no_mean_of_gradients():
    model, old = warm("RMSProp", momentum=0.9)
    new = piste.Muon(model)
    report = rows(migrate(old, new))["inner.weight"]
    assert report["lost"] == ["square_avg", "momentum_buffer"] and report["fresh"] == ["momentum_buffer"]


def test_shampoo_takes_the_momentum_and_makes_its_roots_at_once():
    model, old = warm("AdamW")
    new = piste.Shampoo(model, momentum=0.9, precondition_frequency=7)
    report = rows(migrate(old, new))["inner.weight"]
    assert report["kept"] == ["exp_avg -> momentum_buffer"] and report["step"] == 0
    train(model, new, 1, 5)
    assert new.state[model.inner.weight]["L_root"].abs().sum() > 0


def test_other_routing_keeps_what_stays_where_it_was():
    model, old = warm("Muon", 5)
    new = piste.Muon(model, overrides={"inner.weight": "rest"})
    report = rows(migrate(old, new))
    assert report["inner.weight"]["new"] == "AdamW" and report["inner.weight"]["lost"] == ["momentum_buffer"]
    same = piste.Muon(model)
    migrate(old, same)
    assert_same(snapshot(old), snapshot(same))


@pytest.mark.parametrize("done", [1, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_to_itself_nothing_is_lost_and_the_run_goes_on(name, done):
    model, old = warm(name, done, torch.float32)
    twin = copy.deepcopy(model)
    new, other = make(name, model), make(name, twin)
    report = migrate(old, new)
    other.load_state_dict(old.state_dict())
    for r in report.rows:
        assert not r["lost"] and (not r["fresh"] or r["parameter"].startswith("spare")), r
    assert_same(snapshot(new), snapshot(other))
    train(model, new, 2, done), train(twin, other, 2, done)
    assert_same(weights(model), weights(twin))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_from_and_to_every_optimizer_the_steps_stay_sound(name):
    """Nothing blows up: the first steps of the new one are of the size of its own from the start."""
    for first, second in (("AdamW", name), (name, "AdamW"), ("SOAP", name)):
        model, old = warm(first, 4, torch.float32)
        twin = copy.deepcopy(model)
        new, fresh = make(second, model), make(second, twin)
        start = weights(model)
        migrate(old, new)
        train(model, new, 3, 4), train(twin, fresh, 3, 4)
        moved = sum((p - start[n]).norm() for n, p in model.named_parameters())
        usual = sum((p - start[n]).norm() for n, p in twin.named_parameters())
        assert moved.isfinite() and moved < 5 * usual + 1e-3, (first, second)


def test_a_rule_of_one_s_own_keeps_its_basis(registered):
    @piste.optimizer
    def LionInABasis(lr: float = 1e-3):
        """Lion in SOAP's basis."""
        rule = transforms.in_eigenbasis(transforms.scale_by_lion(0.9, 0.95), 0.95)
        return chain(rule, transforms.descend(lr))

    model, old = warm("SOAP", 5, betas=(0.95, 0.95))
    new = LionInABasis(model)
    report = rows(migrate(old, new))["inner.weight"]
    assert sorted(report["kept"]) == ["L", "Q_L", "Q_R", "R", "exp_avg"] and report["lost"] == ["exp_avg_sq"]
    held, taken = old.state[model.inner.weight], new.state[model.inner.weight]
    assert torch.equal(held["exp_avg"], taken["exp_avg"]) and torch.equal(held["Q_L"], taken["Q_L"])


def test_torch_s_optimizers_migrate_too():
    model = tiny(dtype=torch.float64)
    old = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    train(model, old, 3)
    new = piste.Lion(model)
    report = migrate(old, new)
    close(new.state[model.head.bias]["exp_avg"], old.state[model.head.bias]["momentum_buffer"] * 0.1)
    assert "momentum_buffer × 0.1 -> exp_avg" in str(report)


def test_names_match_where_parameters_were_copied_and_nothing_is_aliased():
    model, old = warm("AdamW")
    twin = copy.deepcopy(model)
    new = piste.AdamW(reversed(list(twin.named_parameters())))
    migrate(old, new)
    p, q = model.inner.weight, twin.inner.weight
    assert torch.equal(old.state[p]["exp_avg"], new.state[q]["exp_avg"])
    held = copy.deepcopy(old.state_dict())
    train(twin, new, 2, 5)
    assert_same(held, old.state_dict())


def test_the_clock_goes_on_and_hyperparameters_are_the_new_ones():
    model, old = warm("AdamW", lr=0.1)
    new = piste.Lion(model, lr=0.2)
    new.schedules["lr"] = seen = lambda step: step / 10
    migrate(old, new)
    train(model, new, 1, 5)
    assert new.param_groups[0]["lr"] == seen(5) and new.param_groups[0]["step"] == 6


def test_the_report_is_a_table_that_folds_what_is_alike():
    model, old = warm("AdamW")
    text = str(migrate(old, piste.Lion(model)))
    assert text.splitlines()[0].split() == ["parameters", "optimizer", "step", "kept", "lost", "fresh"]
    assert "table.weight, inner.weight and 7 more  AdamW -> Lion  5" in text
    assert len(text.splitlines()) == 4  # the spare layer never had a gradient


def test_what_cannot_be_migrated_is_said():
    model, old = warm("AdamW")
    before = snapshot(old)
    with pytest.raises(TypeError, match="not AdamW"):
        migrate(old, torch.optim.AdamW(model.parameters()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no parameter in common"):
        migrate(old, piste.AdamW([torch.nn.Parameter(torch.zeros(2))]))
    with pytest.raises(ValueError, match="no twin of ASGD"):
        migrate(torch.optim.ASGD(model.parameters()), old)
    assert_same(before, snapshot(old))
