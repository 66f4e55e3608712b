"""Methods that solve equations: they see the residuals of piste.closure(..., residuals=True)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import piste
from reference import levenbergmarquardt
from tiny import refused


class Curves(nn.Module):
    """Seven equations in five unknowns, in two tensors; at zero all of them hold."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        make = torch.Generator().manual_seed(seed)
        self.a = nn.Parameter(torch.randn(2, generator=make, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(3, 1, generator=make, dtype=torch.float64))
        self.mix = torch.randn(7, 5, generator=make, dtype=torch.float64)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.mix @ x) + 0.3 * (self.mix @ x) ** 2

    def forward(self, rows: slice) -> torch.Tensor:
        return self.residual(torch.cat([self.a, self.b.flatten()]))[rows]


def closure(net: Curves) -> piste.Closure:
    return piste.closure(net, [slice(0, 3), slice(3, 7)], net, residuals=True)


@pytest.mark.parametrize(
    "hyper", [{}, {"eta": 2.0, "xi": 0.1, "omega": 0.0}, {"lr": 0.5, "xi": 0.0, "eta": 0.5}]
)
def test_levenberg_marquardt_is_its_textbook(hyper):
    net = Curves()
    start = torch.cat([net.a.detach(), net.b.detach().flatten()])
    optimizer = piste.LevenbergMarquardt(net, **hyper)
    for _ in range(8):
        optimizer.step(closure(net))
    got = torch.cat([net.a.detach(), net.b.detach().flatten()])
    want = levenbergmarquardt.reference(start, net.residual, 8, **hyper)
    assert float((got - want).abs().max()) < 1e-9


def test_the_loss_is_half_the_squares_of_all_batches():
    net = Curves()
    loss = closure(net)()
    whole = net(slice(0, 7)).square().sum() / 2
    assert torch.allclose(loss, whole)
    (want,) = torch.autograd.grad(whole, net.a)
    assert torch.allclose(net.a.grad, want)


def test_without_residuals_it_says_what_to_pass():
    net = Curves()
    optimizer = piste.LevenbergMarquardt(net)

    def plain():
        optimizer.zero_grad()
        loss = net(slice(0, 7)).square().sum()
        loss.backward()
        return loss

    refused(optimizer, lambda: optimizer.step(plain), TypeError, "residuals=True")
    other = piste.closure(lambda batch: net(batch).sum(), [slice(0, 7)], net)
    refused(optimizer, lambda: optimizer.step(other), TypeError, "residuals=True")
    with pytest.raises(ValueError, match="sizes"):
        piste.closure(net, [slice(0, 7)], net, residuals=True, sizes=[7])
