"""⊥Grad against its textbook, and where it is undefined."""

from __future__ import annotations

import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain
from piste.transforms import descend, orthograd


@piste.optimizer
def OrthogonalSGD(lr=0.1):
    return chain(orthograd(), descend(lr))


def textbook(params, grads, lr=0.1):
    """The loop on flat vectors, one at a time; the weights at the end."""
    weights = [p.detach().double().flatten().clone() for p in params]
    for row in grads:
        for w, g in zip(weights, row, strict=True):
            g = g.double().flatten()
            w -= lr * (g - w * torch.dot(w, g) / torch.dot(w, w))
    return [w.view(p.shape).clone() for w, p in zip(weights, params, strict=True)]


def test_it_is_its_textbook():
    params, grads = problem(SHAPES, steps=10)
    live = start(params)
    got = follow(OrthogonalSGD(live, lr=0.1), live, grads)
    assert distance(got, textbook(params, grads)) < 1e-12


def test_weights_of_zero_take_the_gradient_as_it_is():
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    p.grad = torch.ones(3, dtype=torch.float64)
    OrthogonalSGD([p], lr=0.1).step()
    assert torch.equal(p.detach(), torch.full((3,), -0.1, dtype=torch.float64))
