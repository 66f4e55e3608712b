"""The slope, corrected by today's slope at yesterday's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .._transform import oracle, weights


@oracle(previous=weights)
def recursive(
    evaluate: Any,
    params: Sequence[Tensor],
    previous: Sequence[Tensor | None],
    *,
    beta1: float,
    gamma: float = 1.0,
) -> Any:
    """c = ∇f(w) + γ β₁/(1-β₁) (∇f(w) - ∇f(w')), w' the weights of the step before, both on today's batch.

    In front of an average with β₁: with γ = 1 that average is STORM's recursive estimate m ← ∇f(w) + β₁(m - ∇f(w')),
    whose error shrinks with the steps; MARS takes γ far below 1. Two evaluations a step. Both see the same dropout
    masks, and the loss reported is the one at w. At the first step w' is w. Parameters of groups whose chain is without
    this oracle have their plain gradient.

    Reference: "MARS: Unleashing the Power of Variance Reduction for Training Large Models", Huizhuo Yuan, Yifeng Liu,
    Shuang Wu, Xun Zhou, Quanquan Gu, 2024, https://arxiv.org/abs/2411.10438
    Reference: "Momentum-Based Variance Reduction in Non-Convex SGD", Ashok Cutkosky, Francesco Orabona, 2019,
    https://arxiv.org/abs/1905.10018
    """
    loss, grads = evaluate()
    _, before = evaluate([p if old is None else old for p, old in zip(params, previous, strict=True)])
    share = gamma * beta1 / (1 - beta1)
    corrected = [
        g if g is None or h is None or old is None else g + share * (g - h)
        for g, h, old in zip(grads, before, previous, strict=True)
    ]
    return loss, corrected, list(params)
