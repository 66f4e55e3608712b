"""The slope a step ahead: for games."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _sharding as sharding
from .._transform import oracle


def _length(grads: Sequence[Tensor | None]) -> float:
    """Over all parameters, wherever they live."""
    found = (g for g in grads if g is not None)
    squares = (
        sharding.number(torch.linalg.vector_norm(g, dtype=torch.promote_types(g.dtype, torch.float32))) ** 2
        for g in found
    )
    return sum(squares) ** 0.5


@oracle
def extragradient(evaluate: Any, params: Sequence[Tensor], *, lr: float, max_norm: float = math.inf) -> Any:
    """The gradient at w̃ = w - γ g min(1, c/‖g‖), g = ∇f(w): where a clipped step would lead.

    For a game the closure leaves in ``p.grad`` the slope that each player descends, that of the loss for one and of its
    negative for the other. The loss reported is the one at w. A closure that draws its batch when it is called gives
    each of the two evaluations a sample of its own.

    Reference: "High-Probability Bounds for Stochastic Optimization and Variational Inequalities: the Case of Unbounded
    Variance", Abdurakhmon Sadiev, Marina Danilova, Eduard Gorbunov, Samuel Horváth, Gauthier Gidel, Pavel Dvurechensky,
    Alexander Gasnikov, Peter Richtárik, 2023, https://arxiv.org/abs/2302.00999
    """
    loss, grads = evaluate()
    size = _length(grads)
    length = lr * (max_norm / size if size > max_norm else 1.0)
    point = [p if g is None else p - length * g for p, g in zip(params, grads, strict=True)]
    return loss, evaluate(point)[1]
