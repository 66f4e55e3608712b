"""Averages of the path against their textbooks, and the weights that their views show."""

from __future__ import annotations

import pytest
import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain
from piste.transforms import descend, ema_weights, swa
from reference import averaging, lookahead, schedulefreeadamw, schedulefreesgd


@piste.optimizer
def AveragedSGD(lr=0.1, decay=0.9, first=1, every=1):
    return chain(descend(lr), ema_weights(decay, int(first), int(every)))


@piste.optimizer
def SwaSGD(lr=0.1, first=1, every=1):
    return chain(descend(lr), swa(int(first), int(every)))


def shown(optimizer, live) -> list[torch.Tensor]:
    with optimizer.averaged():
        return [p.detach().clone() for p in live]


@pytest.mark.parametrize("first, every", [(1, 1), (4, 1), (3, 4)])
def test_ema_and_swa_of_the_path(first, every):
    params, grads = problem(SHAPES, steps=14)
    for factory, textbook in ((AveragedSGD, averaging.reference_ema), (SwaSGD, averaging.reference_swa)):
        live = start(params)
        optimizer = factory(live, first=first, every=every)
        end = follow(optimizer, live, grads)
        extra = {"decay": 0.9} if factory is AveragedSGD else {}
        want = textbook(params, grads, start=first, every=every, **extra)
        assert distance(end, averaging.reference(params, grads)) < 1e-12
        assert distance(shown(optimizer, live), want) < 1e-12
        assert distance([p.detach() for p in live], end) == 0


@pytest.mark.parametrize("factory", [AveragedSGD, SwaSGD])
def test_until_it_starts_an_average_is_the_weights(factory):
    params, grads = problem(SHAPES, steps=3)
    live = start(params)
    optimizer = factory(live, first=10)
    end = follow(optimizer, live, grads)
    assert distance(shown(optimizer, live), end) < 1e-15


def test_an_average_holds_this_steps_new_point():
    params, grads = problem([(4, 3)], steps=1)
    live = start(params)
    optimizer = AveragedSGD(live)
    end = follow(optimizer, live, grads)
    assert distance(shown(optimizer, live), end) < 1e-15


@pytest.mark.parametrize("steps", [4, 5, 13])
def test_lookahead(steps):
    params, grads = problem(SHAPES, steps=steps)
    live = start(params)
    optimizer = piste.LookaheadSGD(live)
    end = follow(optimizer, live, grads)
    assert distance(end, lookahead.reference(params, grads, momentum=0.9)) < 1e-12
    assert distance(shown(optimizer, live), lookahead.reference_eval(params, grads, momentum=0.9)) < 1e-12


FREE = [
    (piste.ScheduleFreeSGD, schedulefreesgd, {"lr": 0.3}),
    (piste.ScheduleFreeSGD, schedulefreesgd, {"lr": 0.3, "warmup_steps": 7, "weight_decay": 0.1, "r": 1.0}),
    (piste.ScheduleFreeAdamW, schedulefreeadamw, {}),
    (
        piste.ScheduleFreeAdamW,
        schedulefreeadamw,
        {"warmup_steps": 7, "weight_decay": 0.1, "weight_lr_power": 1.0},
    ),
]


@pytest.mark.parametrize("factory, textbook, hyper", FREE)
def test_schedule_free(factory, textbook, hyper):
    """The weights where gradients are taken, and those that are evaluated."""
    params, grads = problem(SHAPES, steps=25)
    live = start(params)
    optimizer = factory(live, **hyper)
    end = follow(optimizer, live, grads)
    assert distance(end, textbook.reference(params, grads, **hyper)) < 1e-12
    assert distance(shown(optimizer, live), textbook.reference_eval(params, grads, **hyper)) < 1e-11


def test_schedule_free_resumes_inside_a_group_of_many(tmp_path):
    """Its shared scalars are one tensor after loading too: two halves equal the whole."""
    params, grads = problem(SHAPES, steps=10)
    whole = start(params)
    end = follow(piste.ScheduleFreeAdamW(whole, warmup_steps=3), whole, grads)
    live = start(params)
    first = piste.ScheduleFreeAdamW(live, warmup_steps=3)
    follow(first, live, grads[:4])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = piste.ScheduleFreeAdamW(live, warmup_steps=3)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert distance(follow(second, live, grads[4:]), end) == 0


def test_inner_momentum_is_adams():
    """With β₁ → 0 in the average's place nothing is left but the base rule: z is Adam's path."""
    params, grads = problem(SHAPES, steps=8)
    live, base = start(params), start(params)
    optimizer = piste.ScheduleFreeAdamW(live, lr=0.01, betas=(0.5, 0.99), inner_momentum=0.9)
    follow(optimizer, live, grads)
    end = follow(piste.Adam(base, lr=0.01, betas=(0.9, 0.99)), base, grads)
    assert distance([optimizer.state[p]["z"] for p in live], end) < 1e-12


@pytest.mark.parametrize("factory, hyper", [(piste.ScheduleFreeSGD, {"momentum": 0.0}),
                                            (piste.ScheduleFreeAdamW, {"betas": (0.0, 0.999)})])  # fmt: skip
def test_an_average_that_could_not_be_recovered_is_refused(factory, hyper):
    with pytest.raises(ValueError, match="must be positive"):
        factory([torch.nn.Parameter(torch.ones(2))], **hyper)
