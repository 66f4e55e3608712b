"""Optimizers as pure functions: hypergradients, vmap, and agreement with the stateful class."""

from __future__ import annotations

import pytest
import torch

import piste
from piste import functional as F

TORCH = torch.float64
PURE = [e for e in piste.registry("optimizer") if not e.needs and e.module.startswith("piste.")]


A, B, W = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=TORCH)


def problem() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    return {"w": W}, A, B


def train(lr: torch.Tensor, name: str = "AdamW", steps: int = 20) -> torch.Tensor:
    params, a, b = problem()

    def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
        return ((a @ p["w"] - b) ** 2).mean()

    chain = getattr(piste, name).factory.chain(lr=lr)
    state = F.init(chain, params)
    for _ in range(steps):
        params, state = F.step(chain, torch.func.grad(loss)(params), state, params)
    return loss(params)


@pytest.mark.parametrize("name", ["AdamW", "SGD", "LAMB", "ScheduleFreeAdamW", "SOAP"])
def test_the_hypergradient_through_20_steps_equals_finite_differences(name: str) -> None:
    at = {"SGD": 0.02, "ScheduleFreeAdamW": 0.05}.get(name, 0.05)
    lr = torch.tensor(at, dtype=TORCH, requires_grad=True)
    (slope,) = torch.autograd.grad(train(lr, name), lr)
    # steps small enough for the cut-off error of a central difference, large enough for its rounding
    h = 1e-6
    up, down = (train(torch.tensor(at + s, dtype=TORCH), name) for s in (h, -h))
    assert abs(float(slope) - float(up - down) / (2 * h)) <= 1e-6 * abs(float(slope)) + 1e-9


@pytest.mark.parametrize("name", ["AdamW", "Lion", "SGD"])
def test_vmap_over_learning_rates_equals_separate_runs(name: str) -> None:
    lrs = torch.linspace(0.001, 0.02, 8, dtype=TORCH)
    together = torch.func.vmap(lambda lr: train(lr, name))(lrs)
    torch.testing.assert_close(together, torch.stack([train(lr, name) for lr in lrs]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "entry", [e for e in piste.registry("optimizer") if not e.needs], ids=lambda e: e.name
)
def test_the_pure_step_equals_the_optimizer(entry: piste.Entry) -> None:
    g = torch.Generator().manual_seed(1)
    start = {"w": torch.randn(8, 8, generator=g, dtype=TORCH), "v": torch.randn(8, generator=g, dtype=TORCH)}
    grads = [{k: torch.randn(p.shape, generator=g, dtype=TORCH) for k, p in start.items()} for _ in range(6)]
    cls = entry.target
    if cls.factory.matrix:  # type: ignore[attr-defined]
        start.pop("v"), [x.pop("v") for x in grads]
    own = {k: torch.nn.Parameter(p.clone()) for k, p in start.items()}
    opt = cls([{"params": list(own.items()), "optimizer": entry.name}], lr=0.01)
    chain = cls.chain(lr=0.01)  # type: ignore[attr-defined]
    params, state = dict(start), F.init(chain, start)
    kept = {k: p.clone() for k, p in start.items()}
    for grad in grads:
        for k, p in own.items():
            p.grad = grad[k].clone()
        opt.step()
        params, state = F.step(chain, grad, state, params)
    for k in start:
        torch.testing.assert_close(params[k], own[k].detach(), rtol=1e-10, atol=1e-10)
        assert torch.equal(start[k], kept[k]), "the functions are pure"
    assert state["w"]["step"] == opt.state[own["w"]]["step"]


def test_update_and_apply_make_a_step() -> None:
    params, _, _ = problem()
    params["other"] = torch.ones(2, dtype=TORCH)
    chain = piste.AdamW.chain()
    grads = {"w": torch.ones_like(params["w"])}
    state = F.init(chain, params)
    updates, after = F.update(chain, grads, state, params)
    stepped, _ = F.step(chain, grads, state, params)
    assert set(updates) == {"w"} and after["other"]["step"] == 0
    moved = F.apply(params, updates)
    torch.testing.assert_close(moved["w"], stepped["w"], rtol=1e-15, atol=1e-15)
    assert moved["other"] is params["other"]


def test_what_cannot_be_pure_is_refused() -> None:
    params, _, _ = problem()
    with pytest.raises(ValueError, match="oracle or a search"):
        F.step(piste.LBFGS.chain(), params, F.init(piste.LBFGS.chain(), params), params)
    with pytest.raises(KeyError, match="nobody"):
        F.step(piste.AdamW.chain(), {"nobody": params["w"]}, {}, params)
