"""Regression: least squares and logistic, on random data that can be interpolated or not."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem


def _data(rows: int, size: int, seed: int) -> tuple[Tensor, Tensor, torch.Generator]:
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    return a, torch.randn(size, generator=random, dtype=torch.float64), random


@problem
def least_squares(rows: int = 40, size: int = 10, seed: int = 0, noise: float = 0.0) -> Problem:
    """f(x) = 1/2n Σ (aᵢᵀx - bᵢ)², b = A x° + noise · N(0, 1); a draw is one row. Without noise every row is met exactly
    (interpolation). L, μ: eigenvalues of AᵀA/n; the start is 0."""
    a, truth, random = _data(rows, size, seed)
    b = a @ truth + noise * torch.randn(rows, generator=random, dtype=torch.float64)
    return _least_squares("least squares", a, b)


def _least_squares(name: str, a: Tensor, b: Tensor) -> Problem:
    rows, size = a.shape
    best = torch.linalg.lstsq(a, b).solution
    spectrum = torch.linalg.eigvalsh(a.mT @ a / rows)

    def loss(x: Tensor) -> Tensor:
        return 0.5 * (a @ x - b).square().mean()

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        i = int(torch.randint(rows, (), generator=random))
        return 0.5 * (a[i] @ x - b[i]).square()

    positive = float(spectrum[spectrum > 1e-10].min())
    return Problem(
        name, loss, torch.zeros(size, dtype=torch.float64), float(loss(best)), best, float(spectrum[-1]),
        max(0.0, float(spectrum[0])), positive, draw=draw, noise="one row at random",
    )  # fmt: skip


@problem
def logistic(rows: int = 60, size: int = 10, seed: int = 0, weight: float = 0.01) -> Problem:
    """f(x) = 1/n Σ log(1 + exp(-yᵢ aᵢᵀx)) + λ/2 ‖x‖²; a draw is one row. L = ‖AᵀA‖/4n + λ, μ = λ; the minimum is
    found by Newton's method to rounding."""
    a, truth, random = _data(rows, size, seed)
    flips = torch.rand(rows, generator=random, dtype=torch.float64) < 0.2
    y = torch.where(flips, -1.0, 1.0) * torch.sign(a @ truth)

    return _ridged_logistic("logistic regression", a, y, weight)


def _ridged_logistic(name: str, a: Tensor, y: Tensor, weight: float) -> Problem:
    rows, size = a.shape

    def loss(x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-y * (a @ x)).mean() + 0.5 * weight * x.square().sum()

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        i = int(torch.randint(rows, (), generator=random))
        return torch.nn.functional.softplus(-y[i] * (a[i] @ x)) + 0.5 * weight * x.square().sum()

    best = torch.zeros(size, dtype=torch.float64)
    for _ in range(50):
        p = torch.sigmoid(-y * (a @ best))
        gradient = -(a.mT @ (y * p)) / rows + weight * best
        curvature = a.mT @ (a * (p * (1 - p)).unsqueeze(1)) / rows + weight * torch.eye(
            size, dtype=torch.float64
        )
        best = best - torch.linalg.solve(curvature, gradient)
    smooth = float(torch.linalg.eigvalsh(a.mT @ a)[-1]) / (4 * rows) + weight
    return Problem(
        name, loss, torch.zeros(size, dtype=torch.float64), float(loss(best)), best, smooth, weight,
        weight, draw=draw, noise="one row at random",
    )  # fmt: skip


@problem
def table(name: str = "diabetes", weight: float = 0.0) -> Problem:
    """Regression on real data, columns at mean 0 and deviation 1, from 0: «diabetes» (442 patients, 10 columns; least
    squares of the standardized progression, with λ/2 ‖x‖² as further rows), or «tumors» (569 samples, 30 columns;
    logistic regression with λ/2 ‖x‖², λ at least 1e-4).

    The data come with scikit-learn. Errors (ValueError): another name.
    """
    from sklearn import datasets  # here: `piste list` imports this package without the extra that brings it

    known = {"diabetes": datasets.load_diabetes, "tumors": datasets.load_breast_cancer}
    if name not in known:
        raise ValueError(f"no table {name!r}: there are {', '.join(known)}")
    a, y = (torch.as_tensor(part, dtype=torch.float64) for part in known[name](return_X_y=True))
    a = (a - a.mean(0)) / a.std(0, correction=0)
    if name == "tumors":
        return _ridged_logistic(name, a, 2 * y - 1, max(weight, 1e-4))
    rows, size = a.shape
    more = (rows + size) / rows  # the mean is over all rows, those of the ridge among them
    y = (y - y.mean()) / y.std(correction=0)
    ridge = (rows * weight) ** 0.5 * torch.eye(size, dtype=torch.float64)
    return _least_squares(
        name,
        more**0.5 * torch.cat([a, ridge]),
        more**0.5 * torch.cat([y, torch.zeros(size, dtype=torch.float64)]),
    )


@problem
def sparse_recovery(rows: int = 30, size: int = 60, nonzeros: int = 4, seed: int = 0) -> Problem:
    """f(x) = ½ ‖Ax - b‖² with fewer Gaussian rows (of length about 1) than numbers, and b = A x° of a sparse x°, one of
    many minimizers: the one that thresholding looks for. The start is 0.

    Source: "The finite steps of convergence of the fast thresholding algorithms with feedbacks".
    """
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64) / rows**0.5
    best = torch.zeros(size, dtype=torch.float64)
    chosen = torch.randperm(size, generator=random)[:nonzeros]
    best[chosen] = torch.randn(nonzeros, generator=random, dtype=torch.float64)
    b, spectrum = a @ best, torch.linalg.eigvalsh(a @ a.mT)

    def loss(x: Tensor) -> Tensor:
        return 0.5 * (a @ x - b).square().sum()

    return Problem(
        "sparse recovery",
        loss,
        torch.zeros_like(best),
        0.0,
        best,
        float(spectrum[-1]),
        0.0,
        float(spectrum[0]),
    )
