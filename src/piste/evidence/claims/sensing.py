"""Matrices of low rank from few measurements, by descent on factors with and without a preconditioner."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from ..problems.low_rank import sensed
from ..problems.quadratics import rotation

SCALED = "Accelerating Ill-Conditioned Low-Rank Matrix Estimation via Scaled Gradient Descent"
DAMPED = "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing"

Step = Callable[[Tensor, Tensor, float], Tensor]
Pair = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def damped(gradient: Tensor, x: Tensor, least: float) -> Tensor:
    """∇f(X) (XᵀX + λI)⁻¹ with λ half of the least eigenvalue of the truth."""
    ridge = 0.5 * least * torch.eye(x.shape[1], dtype=torch.float64)
    return torch.linalg.solve(x.mT @ x + ridge, gradient, left=False)


def undamped(gradient: Tensor, x: Tensor, least: float) -> Tensor:
    """The same with λ = 0, for as many columns as the truth has."""
    return damped(gradient, x, 1e-30)


def plain(gradient: Tensor, x: Tensor, least: float) -> Tensor:
    return gradient


def steps_until(
    step: Step, seed: int, least: float, rank: int, rows: int = 480, start: float = 1e-8, most: int = 1000
) -> float:
    """How many steps of the rate 0.3 from a start of that size until ‖X Xᵀ - M‖ ≤ 1e-3 ‖M‖, M of 24 × 24 with
    the eigenvalues 1 and ``least``."""
    truth, a = sensed((1.0, least), 24, rows, seed)
    random = torch.Generator().manual_seed(seed + 2)
    x = start * torch.randn(24, rank, generator=random, dtype=torch.float64)
    for t in range(most):
        off = x @ x.mT - truth
        size = float(off.norm() / truth.norm())
        if size <= 1e-3 or not size < 1e6:
            return float(t) if size <= 1e-3 else float(most)
        gradient = ((a @ off.flatten()) @ a).view(24, 24) @ x
        x = x - 0.3 * step(gradient, x, least)
    return float(most)


@claim(
    "damped scaled gradient descent",
    DAMPED,
    kind="empirical",
    predicts=at_most(2.0),
    tolerance=0.0,
    wrong=plain,
    subject=damped,
    seeds=4,
    scale="24 × 24 matrices of rank 2, factors of rank 4, 480 Gaussian measurements, a start of 1e-8",
)
def damped_steps_hardly_feel_the_condition_number(method: Step, seed: int) -> float:
    """From a tiny start with too many columns, descent preconditioned by (XᵀX + λI)⁻¹ needs a number of steps that
    grows with the logarithm of the condition number only.

    Steps to a relative error of 1e-3 for eigenvalues 1 and 1/64, over those for 1 and 1. Gradient descent has more than
    10. From starts of 1e-3 and more the columns that are too many leave too large an error where both are 1.
    """
    return steps_until(method, seed, 1 / 64, 4) / steps_until(method, seed, 1.0, 4)


@claim(
    "damped scaled gradient descent",
    DAMPED,
    kind="empirical",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=undamped,
    subject=damped,
    seeds=4,
    scale="24 × 24 matrices of rank 2, factors of rank 2 and 8, 480 Gaussian measurements, a start of 1e-12",
)
def damped_steps_hardly_feel_the_rank(method: Step, seed: int) -> float:
    """With damping, columns that are too many do not slow down the preconditioned descent from a tiny start.

    Steps to a relative error of 1e-3 with 8 columns, over those with 2, the true rank, of two matrices each;
    eigenvalues 1 and 1/64. A start of 1e-8 is not small enough for this condition number: 8 columns then take three
    times as many.
    """
    wide, narrow = (
        sum(steps_until(step, 2 * seed + k, 1 / 64, rank, start=1e-12) for k in range(2))
        for step, rank in ((method, 8), (damped, 2))
    )
    return wide / narrow


@claim(
    "damped scaled gradient descent",
    DAMPED,
    kind="empirical",
    predicts=at_most(4.0),
    tolerance=0.0,
    wrong=plain,
    subject=damped,
    seeds=4,
    scale="24 × 24 matrices of rank 2, factors of 24 columns, 480 Gaussian measurements, noise of 0.01, 140 steps",
)
def damped_steps_reach_the_noise_whatever_the_rank(method: Step, seed: int) -> float:
    """With noisy measurements the damped descent comes as near to the truth as any method can that knows its rank, but
    for the condition number of the factors, although it has as many columns as the matrix.

    ‖X Xᵀ - M‖ over σ √(n r / m), σ the size of the noise, n r = 48 and m = 480; eigenvalues 1 and 1/16, so that the
    factor allowed is 4.
    """
    truth, a = sensed((1.0, 1 / 16), 24, 480, seed)
    random = torch.Generator().manual_seed(seed + 2)
    x = 1e-12 * torch.randn(24, 24, generator=random, dtype=torch.float64)
    noise = 0.01 * torch.randn(480, generator=random, dtype=torch.float64) / 480**0.5
    for _ in range(140):
        gradient = ((a @ (x @ x.mT - truth).flatten() - noise) @ a).view(24, 24) @ x
        x = x - 0.3 * method(gradient, x, 1 / 16)
    return float((x @ x.mT - truth).norm()) / (0.01 * (48 / 480) ** 0.5)


def scaled_pair(off: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """What scaled gradient descent subtracts from the factors of L Rᵀ, times its rate: E R (RᵀR)⁻¹ and Eᵀ L (LᵀL)⁻¹."""
    return (
        torch.linalg.solve(right.mT @ right, off @ right, left=False),
        torch.linalg.solve(left.mT @ left, off.mT @ left, left=False),
    )


def plain_pair(off: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    return off @ right, off.mT @ left


def _factors(kappa: float, seed: int, away: float) -> tuple[Tensor, Tensor, Tensor]:
    """(L, R, X*): a 12 × 9 matrix of rank 3 with singular values from 1 to 1/κ, and factors within ``away`` of σ₃ in
    the paper's distance, √(‖ΔL Σ^½‖² + ‖ΔR Σ^½‖²)."""
    values = torch.tensor([1.0, kappa**-0.5, 1 / kappa], dtype=torch.float64)
    left = rotation(12, seed)[:, :3] * values.sqrt()
    right = rotation(9, seed + 1)[:, :3] * values.sqrt()
    random = torch.Generator().manual_seed(seed + 2)
    moves = torch.randn(21, 3, generator=random, dtype=torch.float64)
    moves = moves / moves.norm() * away * values[-1] / values.sqrt()
    return left + moves[:12], right + moves[12:], left @ right.mT


@claim(
    "scaled gradient descent",
    SCALED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=plain_pair,
    subject=scaled_pair,
    seeds=3,
)
def scaled_steps_converge_at_a_rate_without_the_condition_number(method: Pair, seed: int) -> float:
    """Near the truth scaled gradient descent converges linearly, at a rate that depends on its step η and not on the
    condition number.

    The largest of ‖L Rᵀ - X*‖ / (0.15 σ_r (1 - 0.7 η)ᵗ) over 40 steps from a distance of 0.1 σ_r, η of 0.1, 0.4 and
    2/3, condition numbers 1, 30 and 1000. To first order every step shrinks the error by 1 - η; 0.7 leaves room for the
    second.
    """
    worst = 0.0
    for kappa in (1.0, 30.0, 1000.0):
        for rate in (0.1, 0.4, 2 / 3):
            left, right, truth = _factors(kappa, seed, 0.1)
            for t in range(40):
                off = left @ right.mT - truth
                worst = max(worst, float(off.norm()) * kappa / (0.15 * (1 - 0.7 * rate) ** t))
                down, other = method(off, left, right)
                left, right = left - rate * down, right - rate * other
    return worst


@claim(
    "scaled gradient descent",
    SCALED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=plain_pair,
    subject=scaled_pair,
    seeds=3,
)
def scaled_steps_see_the_product_and_not_its_factors(method: Pair, seed: int) -> float:
    """L Q and R Q⁻ᵀ, for any invertible Q, lead scaled gradient descent to the same products as L and R.

    The largest difference over 30 steps of the rate 0.3, Q Gaussian, condition number 10.
    """
    left, right, truth = _factors(10.0, seed, 0.5)
    q = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q = q + 3 * torch.eye(3, dtype=torch.float64)
    pairs, worst = [(left, right), (left @ q, right @ torch.linalg.inv(q).mT)], 0.0
    for _ in range(30):
        for i, (left, right) in enumerate(pairs):
            down, other = method(left @ right.mT - truth, left, right)
            pairs[i] = (left - 0.3 * down, right - 0.3 * other)
        (one, two), (three, four) = pairs
        worst = max(worst, float((one @ two.mT - three @ four.mT).abs().max()))
    return worst
