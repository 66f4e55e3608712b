"""Adam, its relatives and AdaGrad."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..problems import least_squares
from .papers import ADAGRAD, ADAM, LAMB, OLD_NEW
from .wrong import instead, scaled, told

BEYOND = "On the Convergence of Adam and Beyond"


def stream(method: Any, **hyper: Any) -> float:
    """How far a method goes, in steps of its rate, on the gradients 1010, -10, -10, … (one large in 101), 40 times
    over. The sum of these losses falls towards the left."""
    x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    opt = method([x], **hyper)
    for t in range(40 * 101):
        x.grad = torch.full_like(x, 1010.0 if t % 101 == 0 else -10.0)
        opt.step()
    return float(x.detach()) / hyper["lr"]


@claim(
    "Adam", BEYOND, kind="theorem", predicts=at_least(20.0), tolerance=0.0, wrong=instead("AMSGrad"), seeds=1
)
def adam_drifts_to_the_worst_point_of_a_stream(method: Any, seed: int) -> float:
    """On losses 1010 x once in 101 steps and -10 x else, best at the left end of an interval, Adam goes to the
    right end: what is large and rare it forgets.

    Where it is after 40 such rounds, in units of the rate; β₁ = 0.9, β₂ = 0.99.
    """
    return stream(method, lr=0.001, betas=(0.9, 0.99))


@claim("AMSGrad", BEYOND, kind="theorem", predicts=at_most(-0.1), tolerance=0.0, wrong=told("Adam"), seeds=1)
def amsgrad_drifts_to_the_best_point_of_a_stream(method: Any, seed: int) -> float:
    """On losses 1010 x once in 101 steps and -10 x else, best at the left end of an interval, AMSGrad goes to the
    left end with the β of Adam's failure.

    Where it is after 40 such rounds, in units of the rate; β₁ = 0.9, β₂ = 0.99.
    """
    return stream(method, lr=0.001, betas=(0.9, 0.99))


@claim(
    "Adagrad",
    ADAGRAD,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 50.0),
    seeds=3,
)
def adagrads_regret_is_bounded(method: Any, seed: int) -> float:
    """The regret of diagonal AdaGrad is at most (D²/2η + η) Σᵢ ‖g_{1:T,i}‖₂, D the largest ‖x_t - x*‖∞.

    Least squares with noise, one row a step, η = 0.5, against the best fixed point in hindsight; 300 steps.
    """
    p = least_squares(noise=0.5, seed=seed)
    assert p.draw is not None and p.minimizer is not None
    x, random = torch.nn.Parameter(p.start.clone()), torch.Generator().manual_seed(seed)
    opt = method([x], lr=0.5)
    regret, squares, far = 0.0, torch.zeros_like(p.start), 0.0
    for _ in range(300):
        again = random.get_state()
        there = float(p.draw(p.minimizer, random))
        random.set_state(again)
        opt.zero_grad()
        loss = p.draw(x, random)
        loss.backward()
        assert x.grad is not None
        regret += float(loss.detach()) - there
        squares, far = squares + x.grad.square(), max(far, float((x.detach() - p.minimizer).abs().max()))
        opt.step()
    return regret / ((far**2 / (2 * 0.5) + 0.5) * float(squares.sqrt().sum()))


@claim(
    "Adam",
    OLD_NEW,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("Adam", betas=(0.0, 0.5)),
    seeds=2,
)
def adam_without_averages_is_sign_descent(method: Any, seed: int) -> float:
    """With β₁ = β₂ = 0 and ε → 0 Adam's step is -η sign(g).

    The largest difference over 20 random gradients, ε = 1e-30.
    """
    x = torch.nn.Parameter(torch.zeros(50, dtype=torch.float64))
    opt, worst = method([x], lr=0.1, betas=(0.0, 0.0), eps=1e-30), 0.0
    for _ in range(20):
        before, x.grad = x.detach().clone(), torch.randn_like(x)
        opt.step()
        worst = max(worst, float((x.detach() - before + 0.1 * x.grad.sign()).abs().max()))
    return worst


@claim(
    "Adam", ADAM, kind="theorem", predicts=at_most(1.0), tolerance=1e-12, wrong=scaled("Adam", 12.0), seeds=3
)
def adams_steps_are_bounded_by_the_rate(method: Any, seed: int) -> float:
    """In every coordinate |Δ_t| ≤ η (1-β₁)/√(1-β₂) where 1-β₁ > √(1-β₂), and η else; sparse gradients reach it.

    The largest |Δ| / (η · max(1, (1-β₁)/√(1-β₂))) for a coordinate whose first gradient comes after 1 to 300 steps of
    zeros, with the default β.
    """
    late = torch.randint(1, 300, (20,))
    x = torch.nn.Parameter(torch.zeros(20, dtype=torch.float64))
    opt, worst = method([x], lr=0.01, eps=1e-30), 0.0
    for t in range(300):
        before = x.detach().clone()
        x.grad = torch.where(
            late == t, torch.randn(20, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
        )
        opt.step()
        worst = max(worst, float((x.detach() - before).abs().max()))
    return worst / (0.01 * max(1.0, 0.1 / math.sqrt(0.001)))


@claim("Adam", ADAM, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=instead("SGD"), seeds=2)
def adam_does_not_see_the_scale_of_gradients(method: Any, seed: int) -> float:
    """Multiplying all gradients by a constant leaves Adam's steps as they are (ε aside).

    The largest difference of two runs of 50 steps, gradients times 1 and 1,000, ε = 1e-30.
    """

    def go(times: float) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        x = torch.nn.Parameter(torch.zeros(20, dtype=torch.float64))
        opt = method([x], lr=0.01, eps=1e-30)
        for _ in range(50):
            x.grad = times * torch.randn(20, generator=random, dtype=torch.float64)
            opt.step()
        return x.detach()

    return float((go(1.0) - go(1000.0)).abs().max())


@claim("LAMB", LAMB, kind="identity", predicts=equal(1.0), tolerance=1e-9, wrong=instead("AdamW"), seeds=2)
def lambs_step_is_a_share_of_the_weights_norm(method: Any, seed: int) -> float:
    """Every tensor moves by exactly η times its own norm.

    ‖Δ‖ / η‖w‖, the one farthest from 1 of five steps of three tensors of very different size.
    """
    sizes = (0.01, 1.0, 100.0)
    params = [torch.nn.Parameter(s * torch.randn(6, 5, dtype=torch.float64)) for s in sizes]
    opt, seen = method(params, lr=0.1), []
    for _ in range(5):
        before = [p.detach().clone() for p in params]
        for p in params:
            p.grad = torch.randn_like(p)
        opt.step()
        seen += [
            float((p.detach() - b).norm() / (0.1 * b.norm())) for p, b in zip(params, before, strict=True)
        ]
    return max(seen, key=lambda ratio: abs(ratio - 1))
