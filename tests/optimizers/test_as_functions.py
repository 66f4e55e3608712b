"""Every optimizer that needs no closure as a pure function: equal to its class, batched over rates, differentiable."""

from __future__ import annotations

import importlib

import pytest
import torch

import piste
from optimizers.trajectories import problem, start
from piste import functional

NAMES = [e.name for e in piste.registry("optimizer") if e.module.startswith("piste.") and not e.needs]
PARAMS, (TARGETS,) = problem([(5, 5), (4,), (5, 5)], steps=1)


def slopes(params):
    """Of a quartic with a ripple: full rank, and different at every step."""

    def loss(p):
        return sum(((w - t) ** 4).sum() + w.sin().sum() for w, t in zip(p.values(), TARGETS, strict=True))

    return torch.func.grad(loss)(params)


def train(name, lr, steps=6):
    params = {f"param_{i}": p for i, p in enumerate(PARAMS)}  # by which noise is drawn
    chain = getattr(piste, name).chain(lr=lr)
    state = functional.init(chain, params)
    for _ in range(steps):
        params, state = functional.step(chain, slopes(params), state, params)
    return torch.cat([p.flatten() for p in params.values()])


@pytest.mark.parametrize("name", NAMES)
def test_the_class_takes_the_same_steps(name):
    live = start(PARAMS)
    factory = getattr(piste, name)
    optimizer = factory([factory.group(live, lr=1e-2)])
    for _ in range(6):
        found = slopes({str(i): p.detach() for i, p in enumerate(live)})
        for p, g in zip(live, found.values(), strict=True):
            p.grad = g
        optimizer.step()
    want = torch.cat([p.detach().flatten() for p in live])
    assert torch.allclose(train(name, 1e-2), want, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_over_rates_is_separate_runs(name):
    rates = torch.tensor([0.0, 1e-3, 1e-2], dtype=torch.float64)
    together = torch.func.vmap(lambda lr: train(name, lr))(rates)
    for row, rate in zip(together, rates, strict=True):
        assert torch.allclose(row, train(name, float(rate)), atol=1e-13)


def smooth(name):
    """Whether its steps change smoothly with the rate: not those of one size, nor those made in bf16."""
    return getattr(importlib.import_module(f"reference.{name.lower()}"), "SMOOTH", True)


@pytest.mark.parametrize("name", filter(smooth, NAMES))
def test_the_hypergradient_is_finite_differences(name):
    rate = torch.tensor(3e-3, dtype=torch.float64, requires_grad=True)
    weights = torch.linspace(-1, 1, 54, dtype=torch.float64)
    (slope,) = torch.autograd.grad(train(name, rate) @ weights, rate)
    h = 1e-6
    difference = (train(name, 3e-3 + h) - train(name, 3e-3 - h)) @ weights / (2 * h)
    assert float(slope) == pytest.approx(float(difference), rel=1e-5)
