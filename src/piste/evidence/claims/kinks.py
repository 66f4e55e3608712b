"""Losses with kinks: what fixed steps do there that they do not on smooth ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms import prox_l1
from ...transforms.decay import descend
from ..claim import at_least, claim
from ..methods import of_chain
from .identities import walk
from .wrong import scaled

CUT = "GD doesn't make the cut: Three ways that non-differentiability affects neural network training"


def penalized(seed: int, weight: float) -> tuple[Any, Tensor]:
    """The gradient of 1/2n ‖Ax - b‖² + λ‖x‖₁, sign(0) = 0, and a start."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(60, 20, generator=random, dtype=torch.float64)
    truth = torch.randn(20, generator=random, dtype=torch.float64) * (torch.arange(20) < 4)
    b = a @ truth
    return (lambda _, x: a.mT @ (a @ x - b) / 60 + weight * x.sign()), torch.randn(
        20, generator=random, dtype=torch.float64
    )


def _norm(method: Any, seed: int, weight: float) -> float:
    """‖x‖₁, mean of the last 50 of 400 steps of the rate 0.05."""
    slope, start = penalized(seed, weight)
    return sum(float(x.abs().sum()) for x in walk(method, start, slope, 400, lr=0.05)[-50:]) / 50


def _thresholding(params: Any, lr: float) -> Any:
    """Proximal steps: the penalty is not in the gradient's sign but in a soft threshold (here of λ = 4)."""
    return of_chain(lambda lr: chain(descend(lr), prox_l1(lr, 4.0)))(params, lr=lr)


@claim(
    "SGD",
    CUT,
    kind="empirical",
    predicts=at_least(1.5),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-3),
    seeds=4,
    scale="ℓ1-penalized least squares in 20 dimensions, 400 steps of the rate 0.05",
)
def more_penalty_leaves_a_larger_norm_under_subgradient_steps(method: Any, seed: int) -> float:
    """With fixed subgradient steps a larger ℓ1 penalty can leave weights of a larger ℓ1 norm: those that should be
    0 jump to and fro by ηλ.

    ‖x‖₁ at the end with λ = 20 over that with λ = 5, both beyond the penalty that makes 0 the minimum.
    """
    return _norm(method, seed, 20.0) / max(_norm(method, seed, 5.0), 1e-12)


@claim(
    "SGD",
    CUT,
    kind="empirical",
    predicts=at_least(0.95),
    tolerance=0.0,
    wrong=_thresholding,
    seeds=4,
    scale="ℓ1-penalized least squares in 20 dimensions, 400 steps of the rate 0.05",
)
def subgradient_steps_make_no_zeros(method: Any, seed: int) -> float:
    """Subgradient steps on an ℓ1 penalty end with hardly any weight at 0, so that pruning what is 0 prunes nothing.

    The share of weights that are further from 0 than 1e-8 at the end, λ = 5, where the minimum is 0.
    """
    slope, start = penalized(seed, 5.0)
    return float((walk(method, start, slope, 400, lr=0.05)[-1].abs() > 1e-8).double().mean())
