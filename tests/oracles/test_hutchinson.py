"""Hessian-vector products: by differences, exactly, and as an input of a chain."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import piste
from optimizers.closures import network
from piste._evaluate import Evaluate
from piste.oracles import hutchinson
from piste.transforms import descend


def hessian(params, loss):
    flat = torch.cat([p.flatten() for p in params])

    def of(w):
        parts = w.split([p.numel() for p in params])
        return loss([x.view_as(p) for x, p in zip(parts, params, strict=True)])

    return torch.func.hessian(of)(flat)


def closed(live, loss):
    def closure():
        for p in live:
            p.grad = None
        value = loss(live)
        value.backward()
        return value

    return closure


class Net(nn.Module):
    def __init__(self, params, loss):
        super().__init__()
        self.w = nn.ParameterList([nn.Parameter(p.clone()) for p in params])
        self.loss = loss

    def forward(self, batch):
        return self.loss(list(self.w))


@pytest.mark.parametrize("exact", [False, True])
def test_the_product_is_the_hessians(exact):
    params, loss = network()
    net = Net(params, loss)
    live = list(net.w)
    evaluate = Evaluate(live, piste.closure(net, [0, 0], net) if exact else closed(live, loss))
    vectors = [
        torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).double() for i, p in enumerate(live)
    ]
    want = hessian(params, loss) @ torch.cat([v.flatten() for v in vectors])
    got = torch.cat([x.flatten() for x in evaluate.hvp(vectors, exact)])
    assert torch.allclose(got, want, atol=1e-13 if exact else 1e-8)
    assert all(torch.equal(a, b) for a, b in zip(live, params, strict=True))


def test_exact_products_need_a_closure_that_shows_its_forward_pass():
    params, loss = network()
    live = [nn.Parameter(p.clone()) for p in params]
    with pytest.raises(TypeError, match=r"piste.closure\(forward, batches, model\)"):
        Evaluate(live, closed(live, loss)).hvp(params, exact=True)


@piste.transform
def show_curvature(g, hvp, vector):
    """What an oracle provides, as an update; nothing in the steps in which it does not."""
    return torch.zeros_like(g) if hvp is None else hvp * vector


def every_other(step):
    return step % 2 == 1


@piste.optimizer
def Curvature(lr=1.0):
    return piste.chain(hutchinson(every_other), show_curvature(), descend(lr))


def test_the_probes_average_to_the_diagonal_and_come_when_asked_for():
    params, loss = network()
    live = [nn.Parameter(p.clone()) for p in params]
    optimizer = Curvature(live)
    seen, closure = [], closed(live, loss)
    for _ in range(1200):
        optimizer.step(closure)
        seen.append(torch.cat([(p - w.detach()).flatten() for p, w in zip(params, live, strict=True)]))
        with torch.no_grad():
            for w, p in zip(live, params, strict=True):
                w.copy_(p)
    found = torch.stack(seen)
    assert not found[1::2].any()
    diagonal = hessian(params, loss).diagonal()
    probes = found[::2]
    error = (probes.mean(0) - diagonal) / (probes.std(0) / len(probes) ** 0.5 + 1e-9)
    assert float(error.abs().max()) < 4.5  # standard errors


def test_where_the_weights_have_run_away_products_are_not_finite():
    """For the guard of a broken step to see; nothing is evaluated at such a point."""
    p = nn.Parameter(torch.tensor([math.inf, 1.0]))
    evaluate = Evaluate([p], closed([p], lambda ps: ps[0].square().sum()))
    (found,) = evaluate.hvp([torch.ones(2)])
    assert found is not None and not found.isfinite().any()
    assert evaluate.count == 0
