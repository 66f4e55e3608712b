"""Polyak's step in the metric of a preconditioner."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from ..problem import Problem, descend
from ..problems import quadratic
from .wrong import instead, scaled, told

PSPS = "Stochastic Gradient Descent with Preconditioned Polyak Step-size"


def _scaled_columns(seed: int) -> Problem:
    """Least squares that fits exactly, with columns of scales 1 to 1/30."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(60, 8, generator=random, dtype=torch.float64) * torch.logspace(
        0, -1.5, 8, dtype=torch.float64
    )
    target = torch.randn(8, generator=random, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return (a @ (x - target)).square().mean() / 2

    return Problem("scaled columns", loss, torch.zeros(8, dtype=torch.float64), 0.0, target)


def with_loss(p: Problem, method: Any, steps: int, **hyper: Any) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """The points of a run with a closure, and the optimizer's state after each step."""
    x = torch.nn.Parameter(p.start.clone())
    opt = method([x], **hyper)

    def closure() -> Tensor:
        opt.zero_grad()
        loss = p.loss(x)
        loss.backward()
        return loss.detach()

    points, states = [x.detach().clone()], []
    for _ in range(steps):
        opt.step(closure)
        points.append(x.detach().clone())
        states.append({k: v.clone() if isinstance(v, Tensor) else v for k, v in opt.state[x].items()})
    return points, states


@claim(
    "PSPS",
    PSPS,
    kind="theorem",
    predicts=equal(0.25),
    tolerance=1e-6,
    wrong=scaled("PSPS", 0.5),
    seeds=3,
)
def psps_does_not_see_scales(method: Any, seed: int) -> float:
    """In the metric of the Hessian's diagonal Polyak's step halves the distance on every axis, whatever its scale.

    The ratio of losses, the one farthest from 1/4 of 10 steps, on a quadratic along the axes with curvatures 1 to 1e4.
    """
    p = quadratic((1e4, 300.0, 10.0, 1.0), seed, rotated=False)
    losses = descend(p, method, 10, lr=1.0, alpha=0.5).losses
    ratios = [after / before for before, after in itertools.pairwise(losses)]
    return max(ratios, key=lambda r: abs(r - 0.25))


@claim(
    "PSPS",
    PSPS,
    kind="empirical",
    predicts=at_most(-3.0),
    tolerance=0.0,
    wrong=told("PSPS", alpha=1e6),
    seeds=4,
    scale="least squares with 60 rows and 8 columns of scales 1 to 1/30, 100 steps on the full batch, α = 1e-4",
)
def preconditioning_helps_polyak_on_badly_scaled_data(method: Any, seed: int) -> float:
    """On badly scaled data the preconditioned Polyak step converges much faster than the plain one.

    The decimal logarithm of the last loss over that of w ← w - (f / ‖g‖²) g.
    """
    p = _scaled_columns(seed)
    x = p.start.clone()
    for _ in range(100):
        g = p.gradient(x)
        x = x - p.loss(x) / g.square().sum() * g
    return math.log10(descend(p, method, 100, alpha=1e-4).losses[-1] / float(p.loss(x)))


@claim(
    "PSPSL2",
    PSPS,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-5,
    wrong=told("PSPSL2", penalty=1.0),
    seeds=3,
)
def the_slack_step_solves_its_problem(method: Any, seed: int) -> float:
    """PSPS with a squared slack goes to the minimizer of ½‖w - w_t‖²_B + ½ (s - s_t)² + ½λs² where the linear model of
    the loss is at most s.

    The largest violation of its optimality: the step is B⁻¹ times a multiple γ of the gradient with γ = (1+λ)s - s_t
    and f - γ gᵀB⁻¹g = s; 10 steps on a quadratic along the axes whose least value is 1, λ = 0.2.
    """
    values = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
    base = quadratic(tuple(values.tolist()), seed, rotated=False)
    p = Problem("raised", lambda x: base.loss(x) + 1.0, base.start, 1.0, base.minimizer)
    points, states = with_loss(p, method, 10, alpha=0.5, penalty=0.2)
    slack, worst = 0.0, 0.0
    for before, after, state in zip(points, points[1:], states, strict=False):
        g, s = p.gradient(before), float(state["slack"])
        gamma = float((before - after).norm() / (g / values).norm())
        linear = float(p.loss(before)) - gamma * float((g / values) @ g)
        worst = max(worst, abs(1.2 * s - slack - gamma), abs(linear - s))
        slack = s
    return worst


@claim(
    "PSPSL1",
    PSPS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("PSPS", max_step=1e6),
    seeds=3,
)
def the_slack_bounds_the_step(method: Any, seed: int) -> float:
    """With a slack the step stays short where the loss cannot vanish: γ ≤ (f + λ) / (1 + gᵀB⁻¹g), while Polyak's own
    grows without bound as the gradient does.

    The largest ratio of γ to that bound over 30 steps, on a quadratic along the axes whose least value is 1.
    """
    values = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
    base = quadratic(tuple(values.tolist()), seed, rotated=False)
    p = Problem("raised", lambda x: base.loss(x) + 1.0, base.start, 1.0, base.minimizer)
    points, _ = with_loss(p, method, 30, lr=1.0)
    worst = 0.0
    for before, after in itertools.pairwise(points):
        g = p.gradient(before)
        scaled_g = g / values
        gamma = float((before - after).norm() / scaled_g.norm())
        worst = max(worst, gamma * (1 + float(g @ scaled_g)) / (float(p.loss(before)) + 0.01))
    return worst


def adam_metric(gradients: list[Tensor], beta2: float, eps: float) -> Tensor:
    t = len(gradients)
    weights = [beta2 ** (t - 1 - i) for i in range(t)]
    v = sum(w * g.square() for w, g in zip(weights, gradients, strict=True)) / sum(weights)
    return v.sqrt() + eps  # type: ignore[union-attr]


def _adagrad_metric(gradients: list[Tensor]) -> Tensor:
    return torch.stack(gradients).square().sum(0).sqrt() + 1e-10


def _lands_on_the_model(method: Any, seed: int, metric: Callable[[list[Tensor]], Tensor]) -> float:
    p = _scaled_columns(seed)
    points, _ = with_loss(p, method, 10)
    gradients: list[Tensor] = []
    worst = 0.0
    for before, after in itertools.pairwise(points):
        gradients.append(p.gradient(before))
        g, move = gradients[-1], after - before
        model = float(p.loss(before)) + float(g @ move)
        along = metric(gradients) * move
        aside = along - (along @ g) / (g @ g) * g  # what no shortest step has
        worst = max(worst, abs(model) / float(p.loss(before)), float(aside.norm() / along.norm()))
    return worst


@claim(
    "PSPSAdam",
    PSPS,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("PSPSAdam", beta2=0.5),
    seeds=3,
)
def the_step_is_the_shortest_in_adams_metric(method: Any, seed: int) -> float:
    """The step is the shortest in the metric of Adam's second moment on which the linear model of the loss vanishes.

    The larger of |model| / f and the part of B Δw that is not along the gradient, over 10 steps of least squares.
    """
    return _lands_on_the_model(method, seed, lambda gs: adam_metric(gs, 0.999, 1e-8))


@claim(
    "PSPSAdaGrad",
    PSPS,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=scaled("PSPSAdaGrad", 0.9),
    seeds=3,
)
def the_step_is_the_shortest_in_adagrads_metric(method: Any, seed: int) -> float:
    """The step is the shortest in the metric of AdaGrad's sums on which the linear model of the loss vanishes.

    The larger of |model| / f and the part of B Δw that is not along the gradient, over 10 steps of least squares.
    """

    def at_one(params: Any, **hyper: Any) -> Any:
        return method(params, lr=1.0, **hyper)

    return _lands_on_the_model(at_one, seed, _adagrad_metric)
