"""The slope at a point between two sequences, chosen so that acceleration needs no more than quasar-convexity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import moment, oracle
from ._vectors import Space, space

HALVINGS = 100  # the authors'


@oracle(provides=("loss", "vector"), apart=moment)
def between(
    evaluate: Any, params: Sequence[Tensor], step: int, apart: Sequence[Tensor | None], *, lr: float, gamma: float,
    ahead: float, back: float = 0.0, tolerance: float = 0.0,
) -> Any:  # fmt: skip
    """With y the weights, k = 0, 1, … the steps before and c = γ(k+1)²/(2k+3), of one batch:

        w = τy + (1-τ)z,  g = ∇f(w),  τ such that  c f(w) + τ⟨g, y - z⟩ ≤ c f(y) + ε
        z ← z - η a (2k+3) g;    the step is to w - η b g,  as ``vector``

    τ is c/(1 + c) where that will do, which it does wherever f is convex; else 1 or 0, else found by bisection. Two
    evaluations a step, and as many more as the search takes. What is kept is y - z. A step at η = 0 moves nothing.

    Reference: "Accelerated Stochastic Optimization Methods under Quasar-convexity", Qiang Fu, Dongchu Xu, Ashia Wilson,
    2023, https://arxiv.org/abs/2305.04736
    """
    k = step - 1
    loss, at_y = evaluate()
    where = space(params, at_y)
    if where is None:
        return loss, at_y, None, apart
    gaps = [torch.zeros_like(p) if d is None else d.to(p.dtype) for p, d in zip(params, apart, strict=True)]
    across = where.flat(gaps)
    c = gamma * (k + 1) ** 2 / (2 * k + 3)

    def at(tau: float) -> tuple[float, float, list[Tensor | None]]:
        value, slope = evaluate([p - (1 - tau) * d for p, d in zip(params, gaps, strict=True)])
        return float(value), _dot(where, across, slope), slope

    tau, g = _search(at, float(loss), where, across, at_y, c, c / (1 + c), tolerance)
    live = list(zip(g, gaps, strict=True))
    if lr == 0:
        return loss, g, [None if x is None else torch.zeros_like(x) for x in g], gaps
    step_to = [None if x is None else (1 - tau) * d + lr * back * x for x, d in live]
    wider = lr * (ahead * (2 * k + 3) - back)
    return loss, g, step_to, [d if x is None else tau * d + wider * x for x, d in live]


def _dot(where: Space, across: Tensor, slope: Sequence[Tensor | None]) -> float:
    return float(where.dots(across.unsqueeze(0), where.flat(slope)))


def _search(
    at: Any, here: float, where: Space, across: Tensor, at_y: list[Tensor | None], c: float, guess: float, slack: float
) -> tuple[float, list[Tensor | None]]:  # fmt: skip
    """(τ, the gradient there)."""
    if not float(where.dots(across.unsqueeze(0), across)) > 0:
        return 1.0, at_y

    def enough(tau: float, value: float, slope: float) -> bool:
        return c * value + tau * slope <= c * here + slack

    value, slope, g = at(guess)
    if enough(guess, value, slope):
        return guess, g
    if _dot(where, across, at_y) <= slack:
        return 1.0, at_y
    value, slope, g = at(0.0)
    if value <= here + slack / c:
        return 0.0, g
    low, high, tau = 0.0, 1.0, 1.0
    for _ in range(HALVINGS):
        tau = (low + high) / 2
        value, slope, g = at(tau)
        if enough(tau, value, slope):
            break
        low, high = (low, tau) if value <= here else (tau, high)
    return tau, g
