"""Matrices of low rank by gradient descent on factors with more columns than the rank: the curse of symmetry."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, between, claim
from ..problems.matrices import low_rank, measurements
from .identities import walk

SLOW = (
    "How Over-Parameterization Slows Down Gradient Descent in Matrix Sensing: The Curses of Symmetry and "
    "Initialization"
)
DAMPED = "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing"
F64 = torch.float64
SIZE, RANK, RUNS = 10, 2, 16


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


def _symmetric(method: Any, start: Tensor, seed: int, steps: int, condition: float = 1.0) -> list[float]:
    """‖X Xᵀ - M‖² before every step and after the last."""
    truth, rows = low_rank(SIZE, RANK, condition, seed), measurements(200, SIZE, seed)
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


def _apart(seed: int, start: float) -> tuple[Tensor, Tensor]:
    """((F, G), M), 16 of each: M is 10 × 10 of rank 2, F and G have 4 columns and deviations start/√10 and a third
    of it."""
    truth = torch.stack([low_rank(SIZE, RANK, 1.0, RUNS * seed + i) for i in range(RUNS)])
    random = torch.Generator().manual_seed(seed)
    both = start * torch.randn(2, RUNS, SIZE, 4, generator=random, dtype=F64) / SIZE**0.5
    both[1] /= 3
    return both, truth @ truth.mT


def _slopes(both: Tensor, m: Tensor) -> Tensor:
    """Of ½ ‖F Gᵀ - M‖²."""
    off = both[0] @ both[1].mT - m
    return torch.stack([off @ both[1], off.mT @ both[0]])


def _asymmetric(method: Any, seed: int, starts: tuple[float, ...], steps: int, rate: float) -> list[Tensor]:
    """For every start ‖F Gᵀ - M‖² of gradient descent on half of it, before every step and after the last, in 16
    runs."""
    both, m = (torch.cat(side, -3) for side in zip(*(_apart(seed, start) for start in starts), strict=True))
    points = torch.stack(walk(method, both, lambda _, x: _slopes(x, m), steps, lr=rate))
    return list(_off(points, m).split(RUNS, 1))


def _off(points: Tensor, m: Tensor) -> Tensor:
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
    scale="10 × 10 of rank 2 as F Gᵀ with 4 columns each, 16 runs of at most 800 steps of the rate 0.6",
)
def asymmetric_factors_converge_linearly(method: Any, seed: int) -> float:
    """With F Gᵀ in the place of X Xᵀ gradient descent converges linearly though there are columns too many, since F and
    G start from different sizes; balance would bring the curse back.

    The steps that ‖F Gᵀ - M‖² takes from 1e-12 to 1e-18 over those from 1e-6 to 1e-12, the median of 16 runs: 1 where
    the rate is constant.
    """
    (errors,) = _asymmetric(method, seed, (0.6,), 800, 0.6)
    again = _steps_between(errors, 1e-12, 1e-18) / _steps_between(errors, 1e-6, 1e-12)
    return float(again.nan_to_num(math.inf, math.inf).median())


@claim(
    "SGD",
    SLOW,
    kind="empirical",
    predicts=between(3.2, 4.8),
    tolerance=0.0,
    wrong=balanced,
    seeds=3,
    scale="10 × 10 of rank 2 as F Gᵀ with 4 columns each, starts 0.5 and 0.25, 16 runs of at most 1600 steps at 0.6",
)
def the_rate_of_asymmetric_factors_grows_with_the_square_of_the_start(method: Any, seed: int) -> float:
    """The rate is exp(-Ω(α² T)), with α the scale of the start: half the start takes four times the steps.

    The steps that ‖F Gᵀ - M‖² takes from 1e-6 to 1e-12, from half the start over those from the whole, the median of
    16 runs.
    """
    large, small = _asymmetric(method, seed, (0.5, 0.25), 1600, 0.6)
    times = _steps_between(small, 1e-6, 1e-12) / _steps_between(large, 1e-6, 1e-12)
    return float(times.nan_to_num(math.inf, math.inf).median())


class Fading:
    """Gradient descent whose rate falls like 20/(t + 20)."""

    def __init__(self, params: Any, lr: float) -> None:
        self._x, self._steps = next(iter(params)), 0
        self.param_groups: list[dict[str, Any]] = [{"params": [self._x], "lr": lr}]

    def step(self) -> None:
        with torch.no_grad():
            self._x -= self.param_groups[0]["lr"] * 20 / (self._steps + 20) * self._x.grad
        self._steps += 1


@claim(
    "SGD",
    SLOW,
    kind="empirical",
    predicts=between(0.8, 1.25),
    tolerance=0.0,
    wrong=Fading,
    seeds=3,
    scale="10 × 10 of rank 2 as X Xᵀ with 2 columns, 200 Gaussian measurements, 200 steps of the rate 0.3",
)
def symmetric_factors_of_the_right_rank_converge_linearly(method: Any, seed: int) -> float:
    """With as many columns as the rank has, gradient descent on X Xᵀ converges at the rate exp(-Ω(T)).

    The steps that ‖X Xᵀ - M‖² takes from 1e-14 to 1e-22 over those from 1e-6 to 1e-14, from a Gaussian start of
    deviation 0.1.
    """
    start = 0.1 * torch.randn(SIZE, RANK, generator=torch.Generator().manual_seed(seed), dtype=F64)
    errors = torch.tensor(_symmetric(method, start, seed, 200), dtype=F64).unsqueeze(1)
    return float(_steps_between(errors, 1e-14, 1e-22) / _steps_between(errors, 1e-6, 1e-14))


def imbalanced(both: Tensor, beta: float = 0.7) -> Tensor:
    """(F, G), batched, with the same product and FᵀF = β² I: F Bᵀ Σ⁻¹ β and G Bᵀ Σ/β, where F = A Σ B."""
    values, turn = torch.linalg.svd(both[0], full_matrices=False)[1:]
    left = both[0] @ turn.mT * (beta / values).unsqueeze(1)
    return torch.stack([left, both[1] @ turn.mT * (values / beta).unsqueeze(1)])


def unchanged(both: Tensor) -> Tensor:
    return both


@claim(
    "one step of imbalance",
    SLOW,
    subject=imbalanced,
    kind="empirical",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=unchanged,
    seeds=4,
    scale="10 × 10 of rank 2 as F Gᵀ with 4 columns each, starts 0.6 and 0.2, 16 runs of 400 steps at 0.6",
)
def one_step_of_imbalance_makes_the_rate_independent_of_the_start(method: Any, seed: int) -> float:
    """Changing F and G once, so that their product stays and F becomes β times orthonormal columns, makes the rate of
    what follows independent of the scale α of the start.

    The steps that ‖F Gᵀ - M‖² takes from 1e-6 to 1e-12 from the start 0.2 over those from 0.6, medians of 16 runs, β =
    0.7; each is changed after 60 steps.
    """
    spent = [_changed(method, seed, start, first) for start, first in ((0.2, 60), (0.6, 60))]
    return spent[0] / spent[1]


def _changed(change: Any, seed: int, start: float, first: int) -> float:
    """Median steps from 1e-6 to 1e-12 with the change after so many steps of the rate 0.6, at most 400 in all."""
    (both, m), points = _apart(seed, start), []
    for t in range(400):
        both = change(both) if t == first else both
        points.append(both)
        both = both - 0.6 * _slopes(both, m)
    return float(
        _steps_between(_off(torch.stack(points), m), 1e-6, 1e-12).nan_to_num(math.inf, math.inf).median()
    )


def preconditioned(params: Any, lr: float) -> Rescaled:
    return Rescaled(params, lr, damping=0.5 / 64)


@claim(
    "SGD",
    DAMPED,
    kind="empirical",
    predicts=at_least(0.5),
    tolerance=0.0,
    wrong=preconditioned,
    seeds=3,
    scale="10 × 10 of rank 2 as X Xᵀ with 4 columns, 200 Gaussian measurements, at most 2000 steps of the rate 0.3",
)
def gradient_descent_pays_a_power_of_the_condition_number(method: Any, seed: int) -> float:
    """Without a preconditioner the steps of gradient descent grow like a power of the condition number, not like its
    logarithm.

    The slope of log steps against log κ between κ = 8 and 64: steps until ‖X Xᵀ - M‖ ≤ 1e-3 from a Gaussian start of
    deviation 1e-4.
    """
    start = 1e-4 * torch.randn(SIZE, 4, generator=torch.Generator().manual_seed(seed), dtype=F64)
    few, many = (
        next((t for t, e in enumerate(_symmetric(method, start, seed, steps, kappa)) if e <= 1e-6), math.inf)
        for kappa, steps in ((8.0, 600), (64.0, 2000))
    )
    return math.log(many / few) / math.log(8)
