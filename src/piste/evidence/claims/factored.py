"""Gradients of factors, scaled."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..claim import at_most, claim
from ..problem import Problem, descend
from .wrong import instead

SCALED = "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing"


def _factorization(condition: float, seed: int) -> tuple[Problem, float]:
    """¼ ‖XXᵀ - M‖² of M of rank 2, X with 5 columns, from a small random start; and M's size."""
    random = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(20, 2, generator=random, dtype=torch.float64))[0]
    target = u @ torch.diag(torch.tensor([1.0, 1 / condition], dtype=torch.float64)) @ u.mT
    start = 1e-4 * torch.randn(20, 5, generator=random, dtype=torch.float64)
    loss = lambda x: (x @ x.mT - target).square().sum() / 4  # noqa: E731
    return Problem("factorization", loss, start, 0.0), float(target.norm())


def _until(method: Any, condition: float, seed: int, **hyper: Any) -> int:
    """Steps until ‖XXᵀ - M‖ ≤ 1e-2 σ_min(M), at most 3000."""
    p, _ = _factorization(condition, seed)
    x = torch.nn.Parameter(p.start.clone())
    opt = method([x], **hyper)
    for t in range(3000):
        x.grad = p.gradient(x)
        if math.sqrt(4 * float(p.loss(x))) <= 1e-2 / condition:
            return t
        opt.step()
    return 3000


@claim(
    "ScaledGD",
    SCALED,
    kind="empirical",
    predicts=at_most(math.log(100) / math.log(2)),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
    scale="rank 2 and 5 columns, 20 × 20, exact factorization from a start of size 1e-4, η = 0.3, λ = σ_min / 100",
)
def scaled_gradients_feel_the_condition_by_its_logarithm(method: Any, seed: int) -> float:
    """With more columns than the true rank, ScaledGD(λ) needs steps that grow as the logarithm of the condition number.

    Steps at condition 100 over those at condition 2, which that allows to be log 100 / log 2; gradient descent's grow
    as the condition number.
    """

    def steps(condition: float) -> int:
        more = {"damp": 0.01 / condition} if method.__name__ == "ScaledGD" else {}
        return _until(method, condition, seed, lr=0.3, **more)

    return steps(100.0) / steps(2.0)


@claim(
    "ScaledGD",
    SCALED,
    kind="theorem",
    predicts=at_most(0.9),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
)
def scaled_gradients_converge_at_a_constant_rate(method: Any, seed: int) -> float:
    """Near the solution the error falls by a constant factor each step, whatever the condition number.

    The mean factor on ‖XXᵀ - M‖ over 20 steps from near a factor of M with condition number 1e3, λ = 1e-9 and η = 0.3;
    gradient descent's would be 1 - O(η/κ).
    """
    random = torch.Generator().manual_seed(seed)
    true = torch.linalg.qr(torch.randn(20, 3, generator=random, dtype=torch.float64))[0]
    true = true @ torch.diag(torch.tensor([1.0, 0.1, 1e-3], dtype=torch.float64).sqrt())
    target, start = true @ true.mT, true + 1e-3 * torch.randn(20, 3, generator=random, dtype=torch.float64)
    p = Problem("factorization", lambda x: (x @ x.mT - target).square().sum() / 4, start, 0.0)
    more: dict[str, Any] = {"damp": 1e-9} if method.__name__ == "ScaledGD" else {}
    losses = descend(p, method, 20, lr=0.3, **more).losses
    return (losses[-1] / losses[0]) ** (0.5 / 20)
