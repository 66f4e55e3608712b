"""Quasi-Newton methods: what pairs of steps and changes of gradients tell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from ..problems import logistic
from .papers import LBFGS
from .wrong import told

STORAGE = "Updating Quasi-Newton Matrices with Limited Storage"


def _ways(p: Any, method: Any, steps: int, **hyper: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Points and gradients of a run with a closure."""
    x = torch.nn.Parameter(p.start.clone())
    opt = method([x], **hyper)

    def closure() -> Tensor:
        opt.zero_grad()
        loss = p.loss(x)
        loss.backward()
        return loss.detach()

    points, slopes = [x.detach().clone()], [p.gradient(x)]
    for _ in range(steps):
        opt.step(closure)
        points.append(x.detach().clone())
        slopes.append(p.gradient(x))
    return points, slopes


@claim(
    "LBFGS",
    STORAGE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=told("LBFGS", history_size=2),
    seeds=3,
)
def two_loops_are_the_bfgs_matrix(method: Any, seed: int) -> float:
    """The two-loop recursion multiplies by the matrix that BFGS's update builds from H₀ = (sᵀy / yᵀy) I and the stored
    pairs, H ← (I - ρsyᵀ) H (I - ρysᵀ) + ρssᵀ.

    The largest 1 - cosine between a step and -Hg, H built densely from all pairs, over 8 steps on logistic regression
    with 10 weights.
    """
    points, slopes = _ways(logistic(seed=seed), method, 8, history_size=20)
    eye, worst = torch.eye(10, dtype=torch.float64), 0.0
    pairs = [(points[t + 1] - points[t], slopes[t + 1] - slopes[t]) for t in range(8)]
    for t in range(1, 8):
        s, y = pairs[t - 1]
        h = (s @ y) / (y @ y) * eye
        for s, y in pairs[:t]:
            left = eye - torch.outer(s, y) / (s @ y)
            h = left @ h @ left.mT + torch.outer(s, s) / (s @ y)
        worst = max(worst, 1 - float(torch.cosine_similarity(pairs[t][0], -h @ slopes[t], dim=0)))
    return worst


@claim(
    "LBFGS",
    LBFGS,
    kind="empirical",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=told("LBFGS", lr=1e-3),
    seeds=4,
    scale="logistic regression with 30 weights and decay 1e-4, 12 steps",
)
def lbfgs_takes_its_first_trial_step(method: Any, seed: int) -> float:
    """Scaled by the last pair, the step 1 is nearly always accepted: little more than one evaluation a step.

    Evaluations of loss and gradient a step, of the search alone.
    """
    x, asked = torch.nn.Parameter((p := logistic(200, 30, seed, 1e-4)).start.clone()), 0
    opt = method([x])

    def closure() -> Tensor:
        nonlocal asked
        asked += 1
        opt.zero_grad()
        loss = p.loss(x)
        loss.backward()
        return loss.detach()

    for _ in range(12):
        opt.step(closure)
    return (asked - 12) / 12  # one more a step is the gradient where it starts
