"""Polyak's step in other metrics: distances that cannot grow, bad scales, and slacks."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..._transform import Chain, chain
from ...transforms.decay import descend
from ...transforms.polyak import scale_by_polyak
from ..claim import at_most, claim
from ..methods import of_chain
from ..problem import Problem
from ..problems import quadratic
from .matrices import matrix
from .polyak import PSPS, with_loss
from .wrong import scaled, told


def _one_row_at_a_time(
    method: Any, a: Tensor, b: Tensor, steps: int, seed: int, **hyper: Any
) -> tuple[list[Tensor], list[int]]:
    """The points of a run on ½ (aᵢᵀx - bᵢ)² with random i, and these."""
    rows = torch.randint(len(a), (steps,), generator=torch.Generator().manual_seed(seed + 300)).tolist()
    x = torch.nn.Parameter(torch.zeros(a.shape[1], dtype=torch.float64))
    opt, points = method([x], **hyper), [x.detach().clone()]
    for i in rows:

        def closure(i: int = i) -> Tensor:
            opt.zero_grad()
            loss = 0.5 * (a[i] @ x - b[i]).square()
            loss.backward()
            return loss.detach()

        opt.step(closure)
        points.append(x.detach().clone())
    return points, rows


@claim(
    "PSPSAdaGrad",
    PSPS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("PSPSAdaGrad", 0.1),
    seeds=3,
)
def a_projection_comes_closer_in_its_metric(method: Any, seed: int) -> float:
    """A step that projects on the zeros of a batch's linear model, in the metric of B, comes closer to every point w*
    that fits all batches: ‖w⁺ - w*‖²_B ≤ ‖w - w*‖²_B - f²/gᵀB⁻¹g, if losses are convex.

    The largest ratio of the two sides over 50 steps, B from AdaGrad's sums, on one row at a time of least squares that
    fits exactly, 30 rows and 6 columns of scales 1 to 1/10.
    """
    a = matrix(seed, 30, 6) * torch.logspace(0, -1, 6, dtype=torch.float64)
    best = matrix(seed + 1, 1, 6)[0]
    b = a @ best
    points, rows = _one_row_at_a_time(method, a, b, 50, seed, lr=1.0)
    sums, worst = torch.zeros_like(best), 0.0
    for (before, after), i in zip(itertools.pairwise(points), rows, strict=True):
        error = float(a[i] @ before - b[i])
        g = error * a[i]
        sums = sums + g.square()
        metric = sums.sqrt() + 1e-10
        near, far = (float(metric @ (w - best).square()) for w in (after, before))
        worst = max(worst, near / (far - 0.25 * error**4 / float((g / metric) @ g)))
    return worst


def _polyak(lr: float) -> Chain:
    return chain(scale_by_polyak(), descend(lr))


@claim(
    "PSPSAdam",
    PSPS,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=of_chain(_polyak),
    seeds=12,
    cost="full",
    scale="logistic regression, 60 separable samples, 20 columns with scales of e^-3 to e^3, 300 batches of 10",
)
def adams_metric_helps_polyak_on_badly_scaled_data(method: Any, seed: int) -> float:
    """On data with badly scaled columns the Polyak step in Adam's metric leads to lower losses than the plain one.

    The whole loss after the last step over that of the plain step on the same batches.
    """
    random = torch.Generator().manual_seed(seed)
    plain = torch.randn(60, 20, generator=random, dtype=torch.float64)
    labels = (plain @ torch.randn(20, generator=random, dtype=torch.float64)).sign()
    spread = 6 * torch.rand(20, generator=random, dtype=torch.float64) - 3
    a = labels.unsqueeze(1) * plain * spread.exp()

    def last(method: Any) -> float:
        draws = torch.Generator().manual_seed(seed + 50)
        x = torch.nn.Parameter(torch.zeros(20, dtype=torch.float64))
        opt = method([x], lr=1.0)
        for _ in range(300):
            batch = a[torch.randperm(60, generator=draws)[:10]]

            def closure(batch: Tensor = batch) -> Tensor:
                opt.zero_grad()
                loss = torch.nn.functional.softplus(-(batch @ x)).mean()
                loss.backward()
                return loss.detach()

            opt.step(closure)
        return float(torch.nn.functional.softplus(-(a @ x.detach())).mean())

    return last(method) / last(of_chain(_polyak))


@claim(
    "PSPSL1",
    PSPS,
    kind="theorem",
    predicts=at_most(0.0),
    tolerance=1e-9,
    wrong=told("PSPSL1", penalty=0.01),
    seeds=3,
)
def the_step_with_a_slack_is_the_least_that_its_penalty_allows(method: Any, seed: int) -> float:
    """PSPS with an absolute slack goes to the minimizer of ½‖w - w_t‖²_B + ½ (s - s_t)² + λs over s ≥ 0 where the
    linear model of the loss is at most s.

    By how much the best of 20,001 slacks, each with the shortest step that it asks for, is below the method's point
    (and how far that is outside the constraint); 20 steps on a quadratic along the axes, least value 0.3, λ = 0.2.
    """
    penalty, values = 0.2, torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
    base = quadratic(tuple(values.tolist()), seed, rotated=False)
    p = Problem("raised", lambda x: base.loss(x) + 0.3, base.start, 0.3, base.minimizer)
    points, states = with_loss(p, method, 20, alpha=0.5, penalty=penalty)
    slack, worst = 0.0, -math.inf
    for (before, after), state in zip(itertools.pairwise(points), states, strict=True):
        g, f, s, old = p.gradient(before), float(p.loss(before)), float(state["slack"]), slack
        size, move = float((g / values) @ g), after - before
        tried = torch.linspace(0, 2 * (f + old + 1), 20001, dtype=torch.float64)
        best = 0.5 * (f - tried).clamp(min=0).square() / size + 0.5 * (tried - old) ** 2 + penalty * tried
        found = 0.5 * float(values @ move.square()) + 0.5 * (s - old) ** 2 + penalty * s
        worst = max(worst, found - float(best.min()), f + float(g @ move) - s, -s)
        slack = s
    return worst


@claim(
    "PSPSL2",
    PSPS,
    kind="empirical",
    predicts=at_most(0.9),
    tolerance=0.0,
    wrong=told("PSPSL2", penalty=1e6),
    seeds=4,
    cost="full",
    scale="one row at a time of least squares with noise of deviation ½, 40 rows and 6 columns, 600 steps, λ = 0.01",
)
def a_slack_helps_where_no_point_fits_all(method: Any, seed: int) -> float:
    """Where no point fits all batches, the step with a slack stays nearer to the best point than the one without.

    The mean of f - f* over the last 300 steps, over that of the same method with a slack so dear that it is never used
    (PSPS). Only late: the slack's steps are shorter, and from step 100 to 300 it is no nearer (a ratio of about 1).
    """
    a = matrix(seed, 40, 6)
    b = a @ matrix(seed + 1, 1, 6)[0] + 0.5 * matrix(seed + 2, 1, 40)[0]
    best = torch.linalg.lstsq(a, b.unsqueeze(1)).solution[:, 0]

    def excess(method: Any, penalty: float) -> float:
        hyper = {"alpha": 1e-2, "hessian_every": 10, "penalty": penalty}
        points, _ = _one_row_at_a_time(method, a, b, 600, seed, **hyper)
        return float((torch.stack(points[300:]) - best).matmul(a.mT).square().mean())

    return excess(method, 0.01) / excess(told("PSPSL2"), 1e6)
