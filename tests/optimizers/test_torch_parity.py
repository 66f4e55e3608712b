"""Equal to torch.optim in float64, over every option the two share."""

from __future__ import annotations

import pytest
import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start

SGD = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.9, "nesterov": True},
    {"weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
]
RMSPROP = [
    {},
    {"centered": True},
    {"momentum": 0.9},
    {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9},
    {"eps": 1e-3, "weight_decay": 0.1},
]
ADAGRAD = [{}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5, "weight_decay": 0.1, "lr_decay": 0.01}]
ADAM = [{}, {"betas": (0.8, 0.95), "eps": 1e-4}, {"weight_decay": 0.1}]
CASES = [
    *((piste.SGD, torch.optim.SGD, {"lr": 0.1, **o}, {}) for o in SGD),
    *((piste.RMSProp, torch.optim.RMSprop, o, {}) for o in RMSPROP),
    *((piste.Adagrad, torch.optim.Adagrad, o, {}) for o in ADAGRAD),
    *((piste.Adam, torch.optim.Adam, {"lr": 0.01, **o}, {}) for o in ADAM),
    *((piste.AdamW, torch.optim.AdamW, {"lr": 0.01, **o}, {}) for o in ADAM),
    *((piste.AMSGrad, torch.optim.Adam, {"lr": 0.01, **o}, {"amsgrad": True}) for o in ADAM),
    *((piste.AdaMax, torch.optim.Adamax, o, {}) for o in ADAM),
]


@pytest.mark.parametrize(
    "ours, theirs, hyper, extra", CASES, ids=lambda v: v.__name__ if callable(v) else None
)
@pytest.mark.parametrize("fused", [True, False], ids=["kernel", "transforms"])
def test_equal_to_torch(ours, theirs, hyper, extra, fused):
    """30 steps on fixed gradients; `fused` is whether torch's own kernel may stand in for the transforms."""
    params, grads = problem(SHAPES, steps=30)
    a, b = start(params), start(params)
    got = follow(ours(a, **hyper, fused=fused), a, grads)
    want = follow(theirs(b, **hyper, **extra), b, grads)
    assert distance(got, want) < 1e-12


def test_a_moving_rate_is_torchs_too():
    params, grads = problem(SHAPES, steps=12)
    ends = []
    for make in (piste.RMSProp, torch.optim.RMSprop):
        live = start(params)
        optimizer = make(live, lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
        for row in grads:
            end = follow(optimizer, live, [row])
            schedule.step()
        ends.append(end)
    assert distance(*ends) < 1e-12


def test_no_buffer_without_momentum():
    p = [torch.nn.Parameter(torch.ones(3, 4))]
    assert piste.SGD(p, lr=0.1).state_bytes() == 0
    assert piste.SGD(p, lr=0.1, momentum=0.9).state_bytes() == 3 * 4 * 4


@pytest.mark.parametrize("hyper", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(hyper):
    with pytest.raises(ValueError, match="nesterov"):
        piste.SGD([torch.nn.Parameter(torch.ones(2))], nesterov=True, **hyper)


def test_centred_rms_survives_rounding():
    """Equal gradients make the variance zero, or a rounding below it: the root must stay real."""
    p = torch.nn.Parameter(torch.zeros(64))
    optimizer = piste.RMSProp([p], lr=1e-3, centered=True, alpha=0.5)
    for _ in range(40):
        p.grad = torch.full((64,), 0.1) * torch.linspace(0.3, 3, 64)
        optimizer.step()
    assert p.isfinite().all()
