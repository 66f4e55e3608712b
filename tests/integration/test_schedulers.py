"""All of torch's learning-rate schedulers drive a piste optimizer as they drive torch's own."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

import piste
from tiny import assert_same, snapshot, tiny, train

STEPS = 8


def _base(opt: torch.optim.Optimizer, factor: float) -> Any:
    """One limit per group, in proportion to its own rate, as a routed optimizer wants it."""
    limits = [float(g["lr"]) * factor for g in opt.param_groups]
    return limits if len(limits) > 1 else limits[0]


SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda e: 0.9**e),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda e: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 5),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 6),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 6, 2.0),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, _base(o, 0.1), _base(o, 1.0), 2),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, _base(o, 1.0), STEPS),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, 1.0, 2), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.5, 3), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, _base(o, 0.1), 4),
}
every_scheduler = pytest.mark.parametrize("name", SCHEDULERS)


def test_none_is_left_out():
    base = (lr_scheduler.LRScheduler, lr_scheduler.ReduceLROnPlateau)
    defined = {
        n
        for module in (lr_scheduler, torch.optim.swa_utils)
        for n, c in vars(module).items()
        if inspect.isclass(c) and issubclass(c, base) and not n.startswith("_") and n != "LRScheduler"
    }
    assert set(SCHEDULERS) == defined


def run(
    model: Any, opt: torch.optim.Optimizer, schedule: Any, steps: int = STEPS, start: int = 0
) -> list[list[float]]:
    seen = []
    for i in range(start, start + steps):
        train(model, opt, 1, i)
        plateau = isinstance(schedule, lr_scheduler.ReduceLROnPlateau)
        schedule.step(1.0) if plateau else schedule.step()
        seen.append([float(g["lr"]) for g in opt.param_groups])
    return seen


@every_scheduler
def test_it_drives_piste_as_it_drives_torch(name):
    model, twin = tiny(dtype=torch.float64), tiny(dtype=torch.float64)
    opt, theirs = piste.AdamW(model.parameters(), lr=1e-2), torch.optim.AdamW(twin.parameters(), lr=1e-2)
    rates = [run(m, o, SCHEDULERS[name](o)) for m, o in ((model, opt), (twin, theirs))]
    assert rates[0] == rates[1] and len({tuple(r) for r in rates[0]}) > 1
    for key in theirs.param_groups[0]:  # OneCycleLR and CyclicLR also move the first beta
        if key in opt.param_groups[0] and key not in ("params", "fused"):
            assert opt.param_groups[0][key] == theirs.param_groups[0][key], key
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


@every_scheduler
def test_it_drives_muon_and_its_rest_in_proportion(name):
    model = tiny()
    opt = piste.Muon(model)
    before = [(g["optimizer"], float(g["lr"])) for g in opt.param_groups]
    assert {o for o, _ in before} == {"Muon", "AdamW"}
    chains = [repr(c) for c in opt.chains()]
    schedule = SCHEDULERS[name](opt)
    for rates in run(model, opt, schedule):
        ratio = [r / was for r, (_, was) in zip(rates, before, strict=True)]
        assert ratio == pytest.approx([ratio[0]] * len(ratio))
    for g, chain in zip(opt.param_groups, chains, strict=True):
        factory = piste.get(g["optimizer"]).target.factory
        if g["optimizer"] == "AdamW":  # a scheduler's `momentum` is no hyperparameter of the rest's
            assert "momentum" not in factory.defaults and "momentum" not in repr(opt.chains()[-1])
        for key, value in factory.defaults.items():
            moved = (
                ("lr", "momentum")
                if name in ("OneCycleLR", "CyclicLR") and g["optimizer"] == "Muon"
                else ("lr",)
            )
            assert key in moved or g[key] == (
                value if g["optimizer"] == "Muon" else piste.Muon.factory.rest()[key]
            )
        assert chain.split("(")[0] == "chain"


@every_scheduler
def test_optimizer_and_scheduler_resume_together(name):
    def made(seed: int) -> Any:
        model = tiny(seed)
        opt = piste.Muon(model)
        return model, opt, SCHEDULERS[name](opt)

    model, opt, schedule = made(0)
    run(model, opt, schedule, 4)
    saved = copy.deepcopy([x.state_dict() for x in (model, opt, schedule)])
    run(model, opt, schedule, 4, 4)
    resumed = made(1)
    for x, state in zip(resumed, saved, strict=True):
        x.load_state_dict(state)
    run(*resumed, 4, 4)
    assert_same(snapshot(opt), snapshot(resumed[1]))


def test_a_scheduler_that_joins_late_continues():
    """``last_epoch`` asks for groups that carry their initial rate."""
    rates = []
    for cls in (piste.AdamW, torch.optim.AdamW):
        model = tiny()
        opt = cls([{"params": model.parameters(), "lr": 5e-3, "initial_lr": 1e-2}])
        rates.append(run(model, opt, lr_scheduler.ExponentialLR(opt, 0.9, last_epoch=2), 2))
    assert rates[0] == rates[1] and rates[0][0] != [5e-3]


def test_rates_are_read_at_every_step():
    model, still = tiny(), tiny()
    opt = piste.AdamW(model)
    for rate in (0.0, 0.0, 0.0):
        opt.param_groups[0]["lr"] = rate
        train(model, opt, 1)
    for p, q in zip(model.parameters(), still.parameters(), strict=True):
        assert torch.equal(p, q)
