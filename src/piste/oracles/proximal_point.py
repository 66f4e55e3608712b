"""The slope where a step lands: implicit steps, from the outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .._transform import oracle


@oracle
def proximal_point(evaluate: Any, params: Sequence[Tensor], *, lr: float, inner_steps: int = 10) -> Any:
    """u such that w - ηu ≈ argmin f(y) + ‖y - w‖²/2η, the proximal point: u = ∇f(w - ηu) there.

        u = ∇f(w);   then ``inner_steps`` times, j = 1, 2, …:   u ← u + θ (∇f(w - ηu) - u),   θ = 2/(j + 2)

    the subgradient method for that strongly convex problem, whose error is O(η G²/j) whether f is smooth or not, so
    long as f + ‖·‖²/2η is convex. 1 + ``inner_steps`` evaluations a step, on one batch, with the same dropout masks;
    the loss reported is the one at w.

    Reference: "Stochastic model-based minimization of weakly convex functions", Damek Davis, Dmitriy Drusvyatskiy,
    2019, https://arxiv.org/abs/1803.06523
    """
    loss, here = evaluate()
    found = here
    for j in range(1, inner_steps + 1):
        point = [p if u is None else p - lr * u for p, u in zip(params, found, strict=True)]
        _, there = evaluate(point)
        share = 2 / (j + 2)
        found = [
            u if u is None or g is None else u + share * (g - u) for u, g in zip(found, there, strict=True)
        ]
    return loss, found
