"""Averages that are trained on or taken of the latest points, against what defines them."""

from __future__ import annotations

import io

import pytest
import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain
from piste.transforms import descend, latest_weights, primal_averaging, switch_ema, trace


@piste.optimizer
def Switched(lr=0.1, decay=0.9, k=3):
    return chain(descend(lr), switch_ema(decay, int(k)))


@piste.optimizer
def Latest(lr=0.1, k=3, every=2):
    return chain(descend(lr), latest_weights(int(k), int(every)))


@piste.optimizer
def Primal(lr=0.1, momentum=0.0, averaging=0.9, interpolation=0.7):
    rule = [trace(momentum)] if momentum else []
    return chain(*rule, descend(lr), primal_averaging(averaging, interpolation))


def shown(optimizer, live) -> list[torch.Tensor]:
    with optimizer.averaged():
        return [p.detach().clone() for p in live]


def path(params, grads, lr: float = 0.1) -> list[list[torch.Tensor]]:
    """Plain descent, parameter by parameter."""
    found = []
    for i, w in enumerate(params):
        points = [w]
        for g in grads:
            points.append(points[-1] - lr * g[i])
        found.append(points)
    return found


@pytest.mark.parametrize("steps", [2, 3, 10])
def test_a_switched_average_is_trained_on(steps):
    params, grads = problem(SHAPES, steps=steps)
    live = start(params)
    optimizer = Switched(live)
    end = follow(optimizer, live, grads)
    for i, w in enumerate(params):
        p, a = w, w
        for t, g in enumerate(grads, 1):
            p = p - 0.1 * g[i]
            a = 0.9 * a + 0.1 * p
            p = a if t % 3 == 0 else p
        assert distance([end[i]], [p]) < 1e-12
        assert distance([shown(optimizer, live)[i]], [a]) < 1e-12


def test_switching_at_every_step_is_a_smaller_rate():
    params, grads = problem(SHAPES, steps=8)
    live = start(params)
    end = follow(Switched(live, k=1), live, grads)
    want = [points[-1] for points in path(params, grads, 0.1 * 0.1)]
    assert distance(end, want) < 1e-12


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_the_mean_of_the_latest(steps):
    params, grads = problem(SHAPES, steps=steps)
    live = start(params)
    optimizer = Latest(live)
    end = follow(optimizer, live, grads)
    points = path(params, grads)
    assert distance(end, [p[-1] for p in points]) < 1e-12
    kept = [p[2::2][-3:] or p[-1:] for p in points]
    assert distance(shown(optimizer, live), [sum(k) / len(k) for k in kept]) < 1e-12


def test_one_checkpoint_is_the_weights_then_and_many_their_mean():
    params, grads = problem(SHAPES, steps=6)
    for k, want in (
        (1, [p[6] for p in path(params, grads)]),
        (50, [sum(p[2::2]) / 3 for p in path(params, grads)]),
    ):
        live = start(params)
        optimizer = Latest(live, k=k)
        follow(optimizer, live, grads)
        assert distance(shown(optimizer, live), want) < 1e-12


def on_a_quadratic(optimizer, p, h, steps: int) -> list[torch.Tensor]:
    seen = []
    for _ in range(steps):
        p.grad = h * p.detach()
        optimizer.step()
        seen.append(p.detach().clone())
    return seen


H = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)


def begin() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))


def test_primal_averaging_is_its_three_sequences():
    p = begin()
    optimizer = Primal([p], averaging=0.9, interpolation=0.7)
    x = z = y = p.detach().clone()
    for _ in range(20):
        p.grad = H * p.detach()
        optimizer.step()
        z = z - 0.1 * H * y
        x = 0.9 * x + 0.1 * z
        y = 0.7 * x + 0.3 * z
        torch.testing.assert_close(p.detach(), y, rtol=1e-12, atol=1e-12)
        with optimizer.averaged():
            torch.testing.assert_close(p.detach(), x, rtol=1e-12, atol=1e-12)


def test_primal_averaging_without_an_average_is_the_base_rule():
    p, q = begin(), begin()
    optimizer = Primal([p], averaging=0.0, interpolation=0.5)
    for seen in on_a_quadratic(optimizer, p, H, 10):
        q.data -= 0.1 * H * q.data
        torch.testing.assert_close(seen, q.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_primal_averaging_is_momentum(nesterov):
    """At the gradient's point y: μ_y = 1 is heavy ball, μ_y = μ_x = β Nesterov's, both at the rate over 1 - β."""
    beta, lr = 0.8, 0.02
    p, q = begin(), begin()
    optimizer = Primal([p], lr=lr / (1 - beta), averaging=beta, interpolation=beta if nesterov else 1.0)
    plain = torch.optim.SGD([q], lr=lr, momentum=beta, nesterov=nesterov)
    for seen in on_a_quadratic(optimizer, p, H, 15):
        q.grad = H * q.detach()
        plain.step()
        torch.testing.assert_close(seen, q.detach(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("factory", [Switched, Latest, Primal])
@pytest.mark.parametrize("compile", [False, True])
def test_they_resume_to_the_bit(factory, compile):
    params, grads = problem([(8, 6), (5,)], steps=11)
    live = start(params)
    optimizer = factory(live, compile=compile)
    whole = follow(optimizer, live, grads)
    view = shown(optimizer, live)
    live = start(params)
    optimizer = factory(live, compile=compile)
    follow(optimizer, live, grads[:5])
    file = io.BytesIO()
    torch.save(([p.detach() for p in live], optimizer.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    again = start(weights)
    optimizer = factory(again, compile=compile)
    optimizer.load_state_dict(state)
    end = follow(optimizer, again, grads[5:])
    assert all(torch.equal(a, b) for a, b in zip(whole, end, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(view, shown(optimizer, again), strict=True))
