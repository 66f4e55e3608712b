"""AdaGrad with one rate for all, against its textbook."""

from __future__ import annotations

import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain
from piste.transforms import descend, scale_by_adagrad_norm


@piste.optimizer
def AdaGradNorm(lr=0.1, initial_sum=0.5):
    return chain(scale_by_adagrad_norm(1e-10, initial_sum), descend(lr))


def test_adagrad_norm_divides_by_the_root_of_all_squares_so_far():
    params, grads = problem([*SHAPES], steps=10)
    live = start(params)
    got = follow(AdaGradNorm(live, lr=0.3), live, grads)
    points, total = [p.clone() for p in params], 0.5
    for given in grads:
        total += sum(float(g.square().sum()) for g in given)
        points = [p - 0.3 * g / (total**0.5 + 1e-10) for p, g in zip(points, given, strict=True)]
    assert distance(got, points) < 1e-12


def test_adagrad_norm_starts_from_its_initial_sum():
    w = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    w.grad = torch.tensor([3.0, 0.0], dtype=torch.float64)
    AdaGradNorm([w], lr=1.0, initial_sum=16.0).step()
    assert torch.allclose(w.detach(), torch.tensor([-0.6, 0.0], dtype=torch.float64))
