"""Matrices of low rank from their factors: gross errors, more columns than the rank, the curse of symmetry."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, between, claim
from ..problems.matrices import gross_errors, low_rank, measurements
from ..problems.quadratics import rotation
from .identities import walk

ROBUST = (
    "Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small Initialization, Noisy "
    "Measurements, and Over-parameterization"
)
SLOW = (
    "How Over-Parameterization Slows Down Gradient Descent in Matrix Sensing: The Curses of Symmetry and "
    "Initialization"
)
F64 = torch.float64
SIZE, RANK, RUNS = 10, 2, 16


def subgradient_method(x: Tensor, rows: Tensor, y: Tensor, steps: int = 900) -> Tensor:
    """X ← X - η_t D_t, where D = S X / ‖S‖ with S = Σ sign(⟨A_i, X Xᵀ⟩ - y_i) A_i and η_t = 0.5 · 0.985ᵗ."""
    for t in range(steps):
        s = (torch.sign(rows @ (x @ x.mT).flatten() - y) @ rows).view(len(x), len(x))
        x = x - 0.5 * 0.985**t * (s / s.norm()) @ x
    return x


def always_from(scale: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The same from a start of that size, whatever it is given."""
    return lambda x, rows, y: subgradient_method(scale * x / torch.linalg.matrix_norm(x, 2), rows, y)


def _recovered(method: Any, seed: int, guess: int, scale: float) -> float:
    """‖X Xᵀ - M‖/‖M‖ at the end, from ``scale`` times orthonormal columns."""
    truth, rows = low_rank(SIZE, RANK, 1.0, seed), measurements(200, SIZE, seed) * 200**0.5
    m = truth @ truth.mT
    y = rows @ m.flatten() + gross_errors(200, 0.1, seed)
    x = method(scale * rotation(SIZE, seed + 41)[:, :guess], rows, y)
    return float((x @ x.mT - m).norm() / m.norm())


@claim(
    "subgradient method",
    ROBUST,
    subject=subgradient_method,
    kind="empirical",
    predicts=at_most(1e-3),
    tolerance=0.0,
    wrong=always_from(1.0),
    seeds=4,
    scale="10 × 10 of rank 2, guessed as 2, 4 and 10; 200 Gaussian measurements, a tenth of them grossly wrong",
)
def subgradients_from_a_tiny_start_find_the_truth_whatever_the_guess(method: Any, seed: int) -> float:
    """On the ℓ1 loss of measurements, some of them arbitrarily wrong, the subgradient method from a tiny start reaches
    the true matrix, however much its rank is overestimated.

    The largest relative error of X Xᵀ for guesses of the rank from the true one to the size, from 1e-6 times
    orthonormal columns, after 900 steps whose length falls geometrically.
    """
    return max(_recovered(method, seed, guess, 1e-6) for guess in (RANK, 2 * RANK, SIZE))


@claim(
    "subgradient method",
    ROBUST,
    subject=subgradient_method,
    kind="empirical",
    predicts=at_least(2.0),
    tolerance=0.0,
    wrong=always_from(1e-6),
    seeds=8,
    scale="10 × 10 of rank 2, guessed as 10; 200 Gaussian measurements, a tenth of them grossly wrong",
)
def a_large_start_of_too_many_columns_misses_the_truth(method: Any, seed: int) -> float:
    """It is the small start that makes overestimation harmless: from a start as large as the truth the same steps end
    elsewhere.

    By how many orders of magnitude the error from orthonormal columns, as many as rows, exceeds that from 1e-6 times
    them.
    """
    return math.log10(_recovered(method, seed, SIZE, 1.0) / _recovered(method, seed, SIZE, 1e-6))


class Rescaled:
    """Gradient descent on one matrix X, with every gradient times (XᵀX + λI)⁻¹."""

    def __init__(self, params: Any, lr: float, damping: float = 1e-14) -> None:
        self._x, self._damping = next(iter(params)), damping
        self.param_groups: list[dict[str, Any]] = [{"params": [self._x], "lr": lr}]

    def step(self) -> None:
        x = self._x.detach()
        gram = x.mT @ x + self._damping * torch.eye(x.shape[1], dtype=x.dtype)
        with torch.no_grad():
            self._x -= self.param_groups[0]["lr"] * torch.linalg.solve(gram, self._x.grad, left=False)


def slowly_rescaled(params: Any, lr: float) -> Rescaled:
    return Rescaled(params, lr / 20)


@claim(
    "SGD",
    SLOW,
    kind="empirical",
    predicts=at_least(-2.0),
    tolerance=0.1,
    wrong=slowly_rescaled,
    seeds=3,
    scale="10 × 10 of rank 2 as X Xᵀ with 4 columns, 200 Gaussian measurements, steps 400 to 1600 of the rate 0.3",
)
def symmetric_factors_with_a_column_too_many_converge_no_faster_than_one_over_t_squared(
    method: Any, seed: int
) -> float:
    """Gradient descent on ¼ ‖A(X Xᵀ - M)‖² with more columns than the rank has ‖X Xᵀ - M‖² = Ω(1/T²).

    The slope of log ‖X Xᵀ - M‖² against log T between steps 400 and 1600, from a Gaussian start of deviation 0.1.
    """
    start = 0.1 * torch.randn(SIZE, 4, generator=torch.Generator().manual_seed(seed), dtype=F64)
    errors = _symmetric(method, start, seed, 1600)
    return math.log(errors[1600] / errors[400]) / math.log(4)


def _symmetric(method: Any, start: Tensor, seed: int, steps: int) -> list[float]:
    """‖X Xᵀ - M‖² before every step and after the last."""
    truth, rows = low_rank(SIZE, RANK, 1.0, seed), measurements(200, SIZE, seed)
    m = truth @ truth.mT
    y = rows @ m.flatten()

    def slope(_: int, x: Tensor) -> Tensor:
        return ((rows @ (x @ x.mT).flatten() - y) @ rows).view(SIZE, SIZE) @ x

    points = torch.stack(walk(method, start, slope, steps, lr=0.3))
    return (points @ points.mT - m).square().sum((1, 2)).tolist()


def balanced(params: Any, lr: float) -> Any:
    """Gradient descent that begins by making F and G one."""
    (both,) = params
    with torch.no_grad():
        both.copy_(both.mean(0, keepdim=True).expand_as(both))
    return get("SGD", "optimizer").target([both], lr=lr)


def _asymmetric(method: Any, seed: int, start: float, steps: int, rate: float) -> Tensor:
    """‖F Gᵀ - M‖² of gradient descent on ½ ‖F Gᵀ - M‖², before every step and after the last (rows), in
    16 runs (columns): M is 10 × 10 of rank 2, F and G have 4 columns and deviations start/√10 and a third of it."""
    truth = torch.stack([low_rank(SIZE, RANK, 1.0, RUNS * seed + i) for i in range(RUNS)])
    m, random = truth @ truth.mT, torch.Generator().manual_seed(seed)
    both = start * torch.randn(2, RUNS, SIZE, 4, generator=random, dtype=F64) / SIZE**0.5
    both[1] /= 3

    def slope(_: int, x: Tensor) -> Tensor:
        d = x[0] @ x[1].mT - m
        return torch.stack([d @ x[1], d.mT @ x[0]])

    points = torch.stack(walk(method, both, slope, steps, lr=rate))
    return (points[:, 0] @ points[:, 1].mT - m).square().sum((2, 3))


def _steps_between(errors: Tensor, high: float, low: float) -> Tensor:
    """Of every run, the steps from the first error below ``high`` to the first below ``low``; infinite where there is
    none."""
    below = [errors < level for level in (high, low)]
    first, last = (torch.where(b.any(0), b.double().argmax(0).double(), math.inf) for b in below)
    return torch.where(last < math.inf, last - first, math.inf)


@claim(
    "SGD",
    SLOW,
    kind="empirical",
    predicts=between(0.8, 1.25),
    tolerance=0.0,
    wrong=balanced,
    seeds=3,
    scale="10 × 10 of rank 2 as F Gᵀ with 4 columns each, 16 runs of at most 1500 steps of the rate 0.3",
)
def asymmetric_factors_converge_linearly(method: Any, seed: int) -> float:
    """With F Gᵀ in the place of X Xᵀ gradient descent converges linearly though there are columns too many, since F and
    G start from different sizes; balance would bring the curse back.

    The steps that ‖F Gᵀ - M‖² takes from 1e-12 to 1e-18 over those from 1e-6 to 1e-12, the median of 16 runs: 1 where
    the rate is constant.
    """
    errors = _asymmetric(method, seed, 0.6, 1500, 0.3)
    again = _steps_between(errors, 1e-12, 1e-18) / _steps_between(errors, 1e-6, 1e-12)
    return float(again.nan_to_num(math.inf).median())


@claim(
    "SGD",
    SLOW,
    kind="empirical",
    predicts=between(3.2, 4.8),
    tolerance=0.0,
    wrong=balanced,
    seeds=3,
    scale="10 × 10 of rank 2 as F Gᵀ with 4 columns each, starts 0.5 and 0.25, 16 runs of at most 2000 steps at 0.6",
)
def the_rate_of_asymmetric_factors_grows_with_the_square_of_the_start(method: Any, seed: int) -> float:
    """The rate is exp(-Ω(α² T)), with α the scale of the start: half the start takes four times the steps.

    The steps that ‖F Gᵀ - M‖² takes from 1e-6 to 1e-12, from half the start over those from the whole, the median of
    16 runs.
    """
    large, small = (
        _asymmetric(method, seed, start, steps, 0.6) for start, steps in ((0.5, 900), (0.25, 2000))
    )
    times = _steps_between(small, 1e-6, 1e-12) / _steps_between(large, 1e-6, 1e-12)
    return float(times.nan_to_num(math.inf).median())
