"""opt.metrics(): what a step did, by role; off, and free, until asked for."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import piste
from piste.transforms.adaptive import scale_by_adam
from piste.transforms.clipping import clip_by_global_norm
from piste.transforms.decay import descend
from tiny import assert_same, every_optimizer, make, snapshot, tiny, train, weights, words


@piste.optimizer
def ClippedAdam(lr: float = 1e-3, max_norm: float = 1.0) -> piste.Chain:
    """Adam behind a clip of the global norm."""
    return piste.chain(clip_by_global_norm(max_norm), scale_by_adam(0.9, 0.99, 1e-8), descend(lr))


ROLES = {"embedding", "hidden", "norm", "bias", "head"}


@every_optimizer
def test_every_role_of_a_module_has_its_row(name):
    model = tiny()
    opt = make(name, model)
    assert opt.metrics(on=True)["roles"] == {}
    train(model, opt, 3)
    assert set(opt.metrics()["roles"]) >= ROLES
    for role, row in opt.metrics()["roles"].items():
        assert set(row) == {"update_rms", "weight_rms", "ratio", "effective_lr"}, role
        assert all(math.isfinite(v) for v in row.values()), (role, row)


@pytest.mark.parametrize("name", ["AdamW", "Muon", "Lion"])
def test_the_numbers_are_those_of_the_step(name):
    model = tiny(dtype=torch.float64)
    opt = make(name, model)
    opt.metrics(on=True)
    train(model, opt, 1)
    before = weights(model)
    opt.zero_grad()
    model.loss(words(5)).backward()
    opt.step()
    of = {n: opt._roles[n][0] for n in before}
    moved = [n for n, p in model.named_parameters() if p.grad is not None]
    rows = opt.metrics()["roles"]
    assert set(rows) == {of[n] for n in moved}
    params = dict(model.named_parameters())
    for role, row in rows.items():
        mine = [n for n in moved if of[n] == role]

        def rms(tensors):
            return torch.cat([t.flatten() for t in tensors]).square().mean().sqrt().item()

        update, weight = rms([params[n].detach() - before[n] for n in mine]), rms([before[n] for n in mine])
        assert row["update_rms"] == pytest.approx(update) and row["weight_rms"] == pytest.approx(weight)
        assert row["ratio"] == pytest.approx(update / weight)
        assert row["effective_lr"] == pytest.approx(update / rms([params[n].grad for n in mine]))


def test_the_effective_rate_of_plain_descent_is_its_rate():
    model = tiny(dtype=torch.float64)
    opt = piste.SGD(model, lr=0.25)
    opt.metrics(on=True)
    train(model, opt, 1)
    for row in opt.metrics()["roles"].values():
        assert row["effective_lr"] == pytest.approx(0.25)


def test_it_is_off_until_asked_for_and_changes_no_step():
    model, twin = tiny(), tiny()
    opt, other = piste.Muon(model), piste.Muon(twin)
    assert set(opt.metrics()) == {"skipped_steps", "lr"}
    other.metrics(on=True)
    train(model, opt, 3), train(twin, other, 3)
    assert_same(snapshot(opt), snapshot(other))
    assert set(opt.metrics()) == {"skipped_steps", "lr"}
    assert opt.state_bytes() == other.state_bytes()
    assert "roles" not in other.metrics(on=False)


def test_rates_are_listed_by_group():
    opt = piste.Muon(tiny(), lr=0.5)
    rates = opt.metrics()["lr"]
    assert rates["0.Muon"] == 0.5 and all(v == 3e-4 for k, v in rates.items() if k.endswith("AdamW"))


@pytest.mark.parametrize("max_norm, share", [(1e-3, 1.0), (1e3, 0.0)])
def test_the_share_that_was_clipped(max_norm, share):
    model = tiny()
    opt = ClippedAdam(model, max_norm=max_norm)
    train(model, opt, 1)
    opt.metrics(on=True)
    train(model, opt, 1, 1)
    assert opt.metrics()["clipped_share"] == share
    assert all(
        set(s) <= {"step", "exp_avg", "exp_avg_sq"} for s in opt.state.values()
    )  # probes are not state
    plain = piste.AdamW(tiny())
    plain.metrics(on=True)
    assert plain.metrics()["clipped_share"] is None


def test_roles_survive_copies_and_late_parameters():
    model = tiny()
    opt = piste.AdamW(model)
    opt.add_param_group({"params": [("late", torch.nn.Parameter(torch.ones(3)))], "role": "norm"})
    twin, other = copy.deepcopy((model, opt))
    other.metrics(on=True)
    train(twin, other, 1)
    assert set(other.metrics()["roles"]) >= ROLES
    late = other.param_groups[-1]["params"][0]
    late.grad = torch.ones(3)
    other.zero_grad(set_to_none=False)
    for p in twin.parameters():
        p.grad = None
    late.grad = torch.ones(3)
    other.step()
    assert set(other.metrics()["roles"]) == {"norm"}


def test_a_skipped_step_leaves_the_last_rows():
    model = tiny()
    opt = piste.AdamW(model, guard="skip")
    opt.metrics(on=True)
    train(model, opt, 1)
    rows = copy.deepcopy(opt.metrics()["roles"])
    model.inner.weight.grad[0, 0] = math.nan
    opt.step()
    assert opt.metrics()["skipped_steps"] == 1 and opt.metrics()["roles"] == rows
