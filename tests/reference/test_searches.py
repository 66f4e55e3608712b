"""The references that need a loss: L-BFGS with its search against torch, SAM and Armijo against arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reference import armijo, lbfgs, sam


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(left: list[Tensor], right: list[Tensor], atol: float = 1e-13) -> None:
    for a, b in zip(left, right):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=0, atol=atol)


INPUTS, TARGETS = normal(20, 6, seed=5), normal(20, 4, seed=6)
NETWORK = [normal(6, 5, seed=7), normal(5, seed=8), normal(5, 4, seed=9)]


def network_loss(weights: list[Tensor]) -> Tensor:
    first, bias, last = weights
    residual = torch.tanh(INPUTS @ first + bias) @ last - TARGETS
    return residual.square().mean() + 0.01 * sum((w**4).sum() for w in weights)


def rosenbrock(weights: list[Tensor]) -> Tensor:
    (x,) = weights
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def torch_lbfgs(params: list[Tensor], loss: Callable, steps: int, **hyper) -> list[Tensor]:
    weights = [p.clone().requires_grad_() for p in params]
    optimizer = torch.optim.LBFGS(weights, max_iter=1, **hyper)

    def closure() -> float:
        optimizer.zero_grad()
        value = loss(weights)
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(closure)
    return weights


@pytest.mark.parametrize("history_size", [100, 3])
@pytest.mark.parametrize("lr", [0.3, 1.0, 5.0])
def test_lbfgs_agrees_with_torch(history_size, lr):
    ours = lbfgs.reference(NETWORK, network_loss, 25, lr=lr, history_size=history_size)
    hyper = {"lr": lr, "history_size": history_size, "max_eval": 26, "line_search_fn": "strong_wolfe"}
    close(ours, torch_lbfgs(NETWORK, network_loss, 25, **hyper), atol=1e-9)


def test_lbfgs_without_search_agrees_with_torch():
    ours = lbfgs.reference(NETWORK, network_loss, 20, lr=0.3, line_search=False)
    close(ours, torch_lbfgs(NETWORK, network_loss, 20, lr=0.3), atol=1e-10)


def test_lbfgs_solves_rosenbrock_and_a_quadratic():
    start = [torch.tensor([-1.2, 1.0, -1.2, 1.0], dtype=torch.float64)]
    solution = lbfgs.reference(start, rosenbrock, 60)
    close(solution, [torch.ones(4, dtype=torch.float64)], atol=1e-5)
    curvature = torch.linspace(1, 50, 8, dtype=torch.float64)
    found = lbfgs.reference([torch.ones(8, dtype=torch.float64)], lambda w: (curvature * w[0] ** 2).sum(), 40)
    close(found, [torch.zeros(8, dtype=torch.float64)], atol=1e-5)


def test_strong_wolfe_holds_at_the_returned_point():
    x, g = NETWORK, sam.gradient(network_loss, NETWORK)
    slope = -sum(part.square().sum().item() for part in g)

    def phi(t: float) -> lbfgs.Point:
        there = [w - t * part for w, part in zip(x, g)]
        grads = sam.gradient(network_loss, there)
        along = -sum((a * b).sum().item() for a, b in zip(grads, g))
        return lbfgs.Point(t, network_loss(there).item(), along, torch.empty(0))

    start = lbfgs.Point(0.0, network_loss(x).item(), slope, torch.empty(0))
    for first in (1e-3, 0.1, 1.0, 30.0):
        end = lbfgs.strong_wolfe(phi, start, first, 1.0)
        assert end.f <= start.f + 1e-4 * end.t * slope
        assert abs(end.slope) <= -0.9 * slope


def test_sam():
    plain = [w.clone() for w in NETWORK]
    for _ in range(5):
        plain = [w - 0.1 * g for w, g in zip(plain, sam.gradient(network_loss, plain))]
    close(sam.reference(NETWORK, network_loss, 5, rho=0.0), plain)
    # on a quadratic ½ a w² in one dimension the gradient is taken exactly ρ further out
    w, a = torch.tensor([2.0], dtype=torch.float64), 3.0
    close(sam.reference([w], lambda p: 0.5 * a * p[0].square().sum(), 1, rho=0.5), [w - 0.1 * a * 2.5])
    adaptive = sam.reference([w], lambda p: 0.5 * a * p[0].square().sum(), 1, rho=0.5, adaptive=True)
    close(adaptive, [w - 0.1 * a * (2 + 0.5 * 2)])


def test_armijo_by_hand():
    """On ½ a w² the condition reads η ≤ 2 (1 - c) / a: the first power of β below it is taken."""
    a, c, beta = 10.0, 0.1, 0.5
    w = torch.tensor([1.0], dtype=torch.float64)
    eta = 1.0
    while eta > 2 * (1 - c) / a:
        eta *= beta
    found = armijo.reference([w], lambda p: 0.5 * a * p[0].square().sum(), 1, c=c, beta=beta, reset_option=0)
    close(found, [w * (1 - eta * a)])


def test_armijo_never_increases_the_loss():
    losses = [network_loss(armijo.reference(NETWORK, network_loss, n)).item() for n in range(6)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]
