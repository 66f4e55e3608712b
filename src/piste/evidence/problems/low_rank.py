"""Matrices of low rank: factors whose product should meet a target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..problem import Problem, problem
from .quadratics import rotation


def bures(covariance: Tensor, root: Tensor, smoothing: float = 0.0) -> Tensor:
    """The squared Bures-Wasserstein distance of C + τI from the covariance whose symmetric root is given: tr C + tr Σ -
    2 tr (Σ^½ C Σ^½)^½."""
    c = covariance + smoothing * torch.eye(len(covariance), dtype=torch.float64)
    roots = torch.linalg.eigvalsh(root @ c @ root).clamp(min=0).sqrt()
    return c.trace() + root.square().sum() - 2 * roots.sum()


@problem
def covariance_network(
    spectrum: Sequence[float] = (4.0, 3.0, 2.0, 1.0, 0.5), rank: int = 3, depth: int = 3, smoothing: float = 0.1,
    seed: int = 0,
) -> Problem:  # fmt: skip
    """The squared Bures-Wasserstein distance of C + τI from a covariance Σ of that spectrum, where C = W Wᵀ is that of
    a deep linear network W = W_d … W₁ with Gaussian inputs, all layers but the last ``rank`` × ``rank``.

    With τ below the ``rank`` largest λᵢ the minimum is the sum of (√λᵢ - √τ)² over the other λᵢ. Every layer of the
    start is the identity and noise of deviation 0.1. Source: "Critical Points and Convergence Analysis of Generative
    Deep Linear Networks Trained with Bures-Wasserstein Loss", Pierre Bréchet et al., 2023.
    """
    values = torch.tensor(sorted(spectrum, reverse=True), dtype=torch.float64)
    size, axes = len(values), rotation(len(values), seed)
    root = axes * values.sqrt() @ axes.mT
    shapes = {f"w{i}": (rank, rank) for i in range(1, depth)} | {f"w{depth}": (size, rank)}
    random = torch.Generator().manual_seed(seed + 1)
    start = [
        torch.eye(*shape, dtype=torch.float64)
        + 0.1 * torch.randn(shape, generator=random, dtype=torch.float64)
        for shape in shapes.values()
    ]
    best = [torch.eye(rank, dtype=torch.float64)] * (depth - 1) + [
        axes[:, :rank] * (values[:rank] - smoothing).sqrt()
    ]

    def loss(x: Tensor) -> Tensor:
        w = torch.eye(rank, dtype=torch.float64)
        for part, shape in zip(
            x.split([math.prod(s) for s in shapes.values()]), shapes.values(), strict=True
        ):
            w = part.view(shape) @ w
        return bures(w @ w.mT, root, smoothing)

    least = float((values[rank:].sqrt() - smoothing**0.5).square().sum())
    return Problem(
        "covariance of a deep linear network",
        loss,
        torch.cat([w.flatten() for w in start]),
        least,
        torch.cat([w.flatten() for w in best]),
        shapes=shapes,
    )


@problem
def matrix_sensing(
    spectrum: Sequence[float] = (1.0, 0.5), size: int = 10, rank: int = 4, rows: int = 40, seed: int = 0
) -> Problem:
    """f(X) = ¼ Σ (⟨Aᵢ, X Xᵀ⟩ - yᵢ)², yᵢ = ⟨Aᵢ, M⟩ of a ``size`` × ``size`` matrix M whose eigenvalues but 0 are given,
    and X of ``rank`` columns. With no ``rows`` M itself is seen: f(X) = ¼ ‖X Xᵀ - M‖².

    The Aᵢ are symmetric Gaussian matrices, on average of such a size that f is what it is for M itself. The start is
    a Gaussian X of deviation 0.1; X Q for an orthogonal Q is as good as X. Source: "How Over-Parameterization Slows
    Down Gradient Descent in Matrix Sensing: The Curses of Symmetry and Initialization", Nuoya Xiong et al., 2023.
    """
    truth, rows_of_a = sensed(spectrum, size, rows, seed)
    y = rows_of_a @ truth.flatten()
    random = torch.Generator().manual_seed(seed + 2)
    start = 0.1 * torch.randn(size, rank, generator=random, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(truth)
    best = (vectors * values.clamp(min=0).sqrt())[:, -rank:]
    turn = rotation(rank, seed + 3)

    def loss(x: Tensor) -> Tensor:
        return 0.25 * (rows_of_a @ (x @ x.mT).flatten() - y).square().sum()

    return Problem(
        "matrix sensing", loss, start, 0.0, best, symmetries={"turned columns": lambda x: x @ turn}
    )


def sensed(spectrum: Sequence[float], size: int, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """(M, A) of ``matrix_sensing``: A has a row for every measurement."""
    axes = rotation(size, seed)[:, : len(spectrum)]
    truth = axes * torch.tensor(list(spectrum), dtype=torch.float64) @ axes.mT
    if not rows:
        return truth, torch.eye(size * size, dtype=torch.float64)
    random = torch.Generator().manual_seed(seed + 1)
    a = torch.randn(rows, size, size, generator=random, dtype=torch.float64)
    return truth, ((a + a.mT) / (2 * rows**0.5)).flatten(1)


@problem
def robust_sensing(
    spectrum: Sequence[float] = (1.0,), size: int = 10, rank: int = 10, rows: int = 60, outliers: float = 0.1,
    seed: int = 0, largest: float = 10.0,
) -> Problem:  # fmt: skip
    """f(X) = 1/n Σ |⟨Aᵢ, X Xᵀ⟩ - yᵢ|, yᵢ = ⟨Aᵢ, M⟩ as in ``matrix_sensing`` with Aᵢ of full size, but for a share of
    ``outliers`` that err by N(0, largest²).

    Weakly convex with ρ = 2/n Σ ‖Aᵢ‖_spectral, each term being convex but for the curvature of ⟨Aᵢ, X Xᵀ⟩. The start is
    a Gaussian X of deviation 0.1. Source: "Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small
    Initialization, Noisy Measurements, and Over-parameterization", Jianhao Ma, Salar Fattahi, 2022.
    """
    _, a, y = spoiled(spectrum, size, rows, outliers, seed, largest)
    random = torch.Generator().manual_seed(seed + 3)
    start, turn = (
        0.1 * torch.randn(size, rank, generator=random, dtype=torch.float64),
        rotation(rank, seed + 4),
    )

    def loss(x: Tensor) -> Tensor:
        return (a @ (x @ x.mT).flatten() - y).abs().mean()

    return Problem(
        "robust matrix sensing",
        loss,
        start,
        weak=2 * float(torch.linalg.matrix_norm(a.view(rows, size, size), 2).mean()),
        symmetries={"turned columns": lambda x: x @ turn},
    )


def spoiled(
    spectrum: Sequence[float], size: int, rows: int, outliers: float, seed: int, largest: float = 10.0
) -> tuple[Tensor, Tensor, Tensor]:
    """(M, A, y) of ``robust_sensing``."""
    truth, a = sensed(spectrum, size, rows, seed)
    a = a * rows**0.5
    random = torch.Generator().manual_seed(seed + 2)
    errs = torch.rand(rows, generator=random, dtype=torch.float64) < outliers
    return (
        truth,
        a,
        a @ truth.flatten() + errs * largest * torch.randn(rows, generator=random, dtype=torch.float64),
    )
