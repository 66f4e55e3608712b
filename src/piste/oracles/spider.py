"""The slope, carried along the path by differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .._transform import moment, oracle, weights


def _always(step: int) -> bool:
    return True


@oracle(previous=weights, estimate=moment)
def spider(
    evaluate: Any, params: Sequence[Tensor], previous: Sequence[Tensor | None], estimate: Sequence[Tensor | None], *,
    refresh: bool = _always,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """v = ∇f(w) in the steps where ``refresh`` holds, on a large batch; in the others, on a small one,

        v ← v + ∇f(w) - ∇f(w'),    w' the weights of the step before, both on today's batch

    so that the error of v is that of the large batch and of the differences since, which are short. Two evaluations in
    those other steps, with the same dropout masks; the loss reported is the one at w. Which batch is large is the
    closure's affair: piste asks for it in the steps 1, 1 + q, 1 + 2q, …

    Reference: "SPIDER: Near-Optimal Non-Convex Optimization via Stochastic Path-Integrated Differential Estimator",
    Cong Fang, Chris Junchi Li, Zhouchen Lin, Tong Zhang, 2018, https://arxiv.org/abs/1807.01695
    """
    loss, grads = evaluate()
    if not refresh:
        _, before = evaluate([p if old is None else old for p, old in zip(params, previous, strict=True)])
        grads = [
            g if g is None or h is None or v is None else v + (g - h)
            for g, h, v in zip(grads, before, estimate, strict=True)
        ]
    return loss, grads, list(params), grads
