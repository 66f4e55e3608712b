"""Online learners, hints, random lengths and models: views, bad hyperparameters, and what they are equal to."""

from __future__ import annotations

import importlib

import pytest
import torch

import piste
from optimizers.test_residuals import Curves, closure
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste.evidence.methods import Stepper
from piste.transforms import descend, exponentiate, hint_by_last_gradient
from reference import stochasticproxlinear
from tiny import refused


@pytest.mark.parametrize("name", ["O2NC", "RandomlyScaledSGDM"])
def test_the_view_is_the_textbooks(name):
    book = importlib.import_module(f"reference.{name.lower()}")
    params, grads = problem(SHAPES, steps=25)
    live = start(params)
    factory = getattr(piste, name)
    optimizer = factory([factory.group(live, **book.CASE["hyper"])])
    raw = follow(optimizer, live, grads)
    want = book.reference_eval(params, grads, **book.CASE["hyper"])
    with optimizer.averaged():
        assert distance([p.detach() for p in live], want) < 1e-12
    assert distance([p.detach() for p in live], raw) == 0 and distance(raw, want) > 1e-3


@pytest.mark.parametrize("name", ["O2NC", "RandomlyScaledSGDM"])
def test_the_draws_are_those_of_their_seed(name):
    params, grads = problem([(3,)], steps=5)
    ends = []
    for seed in (0, 0, 1):
        live = start(params)
        ends.append(follow(getattr(piste, name)(live, draw_seed=seed), live, grads)[0])
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("hyper", [{"lr": 0.02}, {"lr": 0.3}, {"lr": 1.0}])
def test_prox_linear_is_its_textbook(hyper):
    """Where steps are short, where residuals are solved, and where most of them are."""
    net = Curves()
    first = torch.cat([net.a.detach(), net.b.detach().flatten()])
    optimizer = piste.StochasticProxLinear(net, sweeps=2000, **hyper)
    for _ in range(4):
        loss = optimizer.step(closure(net))
    got = torch.cat([net.a.detach(), net.b.detach().flatten()])
    want = stochasticproxlinear.reference(first, net.residual, 4, **hyper)
    assert float((got - want).abs().max()) < 1e-7
    before = stochasticproxlinear.reference(first, net.residual, 3, **hyper)
    assert abs(float(loss) - float(net.residual(before).abs().mean())) < 1e-7


@pytest.mark.parametrize("lr", [0.01, 10.0])
def test_prox_linear_of_one_residual_has_a_formula(lr):
    """d = -η clip(r/(η‖∇r‖²), -1, 1) ∇r: a step of its whole length, or to where the linear residual is solved."""
    net = Curves()
    x = torch.cat([net.a.detach(), net.b.detach().flatten()])
    r, j = net.residual(x)[0], torch.func.jacrev(net.residual)(x)[0]
    one = piste.closure(net, [slice(0, 1)], net, residuals=True)
    piste.StochasticProxLinear(net, lr=lr, sweeps=1).step(one)
    got = torch.cat([net.a.detach(), net.b.detach().flatten()])
    assert torch.allclose(got, x - lr * (r / (lr * j.square().sum())).clamp(-1, 1) * j, rtol=0, atol=1e-14)


def test_prox_linear_at_lr_zero_moves_nothing():
    net = Curves()
    before = [p.detach().clone() for p in net.parameters()]
    piste.StochasticProxLinear(net, lr=0.0).step(closure(net))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_prox_linear_without_residuals_says_what_to_pass():
    net = Curves()
    optimizer = piste.StochasticProxLinear(net)
    refused(optimizer, lambda: optimizer.step(lambda: net(slice(0, 7)).sum()), TypeError, "residuals=True")


def test_a_proximal_point_of_a_quadratic_is_that_of_its_formula():
    """(I + ηA)⁻¹(p - …), to the error of the inner steps."""
    a = torch.tensor([3.0, 0.5], dtype=torch.float64)
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = piste.StochasticProximalPoint([p], lr=2.0, inner_steps=2000)

    def loss():
        optimizer.zero_grad()
        value = 0.5 * (a * p.square()).sum()
        value.backward()
        return value

    optimizer.step(loss)
    assert torch.allclose(p.detach(), 1 / (1 + 2.0 * a), atol=1e-5)


def test_a_hint_on_the_simplex_is_optimistic_hedge():
    """p ∝ x̂ exp(-ηg) from x̂ ∝ x̂ exp(-ηg), normalized at every step as its authors write it."""
    random = torch.Generator().manual_seed(0)
    hat = torch.rand(5, generator=random, dtype=torch.float64)
    hat = hat / hat.sum()
    p = torch.nn.Parameter(hat.clone())
    opt = Stepper(
        lambda lr: piste.chain(hint_by_last_gradient(), descend(lr), exponentiate()), [p], {"lr": 0.7}
    )
    for _ in range(10):
        g = torch.randn(5, generator=random, dtype=torch.float64)
        p.grad = g
        opt.step()
        hat = hat * (-0.7 * g).exp()
        hat = hat / hat.sum()
        ahead = hat * (-0.7 * g).exp()
        assert torch.allclose(p.detach(), ahead / ahead.sum(), rtol=0, atol=1e-14)


def test_points_stay_in_the_ball():
    params, grads = problem(SHAPES, steps=10)
    live = start(params)
    optimizer = piste.OptimisticMirrorDescent(live, lr=3.0, radius=0.5)
    for row in grads:
        end = follow(optimizer, live, [row])
        norm = float(torch.cat([p.flatten() for p in end]).norm())
        assert norm <= 0.5 * (1 + 1e-12)
    assert norm > 0.49


@pytest.mark.parametrize(
    ("name", "hyper", "said"),
    [
        ("OptimisticMirrorDescent", {"radius": 0.0}, "radius must be positive"),
        ("OptimisticMirrorDescent", {"offset": 0.0}, "offset must be positive"),
        ("QASGD", {"gamma": 0.0}, "gamma"),
        ("QAGD", {"gamma": 1.5}, "gamma"),
        ("QAGD", {"rho": 0.5}, "rho"),
        ("O2NC", {"gain": 0.0}, "gain"),
        ("RandomlyScaledSGDM", {"mu": -1.0}, "mu"),
        ("RandomlyScaledSGDM", {"beta": 1.0}, "beta"),
        ("StochasticProxLinear", {"sweeps": 0}, "sweeps"),
    ],
)
def test_what_makes_no_sense_is_refused(name, hyper, said):
    with pytest.raises(ValueError, match=said):
        getattr(piste, name)([torch.nn.Parameter(torch.zeros(2))], **hyper)
