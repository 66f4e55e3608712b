"""Preconditioning by what a few Hessian products show: polynomials, Krylov's space, extreme eigenvectors."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

from ..claim import at_most, claim, equal
from ..problem import Problem, descend
from .matrices import matrix
from .papers import FOSI, POLYNOMIAL
from .wrong import instead, told


def bowl(seed: int, *values: float) -> tuple[Problem, Tensor]:
    """½xᵀBx of these eigenvalues, from a start with every one of the eigenvectors, which are the columns."""
    n = len(values)
    q = torch.linalg.qr(matrix(seed, n, n))[0]
    b = q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.mT
    start = q @ (0.5 + matrix(seed + 50, 1, n)[0].abs())
    return Problem("bowl", lambda x: x @ b @ x / 2, start), q


def _elementary(values: list[float], degree: int) -> float:
    """σ of that degree."""
    sigma = [1.0] + [0.0] * degree
    for v in values:
        for i in range(degree, 0, -1):
            sigma[i] += v * sigma[i - 1]
    return sigma[degree]


SPECTRUM = (1000.0, 600.0, 3.0, 2.5, 2.0, 1.5, 1.2, 1.0)


def _others(degree: int) -> Tensor:
    """σ of all other eigenvalues, by eigenvalue: those of the symmetric polynomial of that degree."""
    parts = [[w for j, w in enumerate(SPECTRUM) if j != i] for i in range(len(SPECTRUM))]
    return torch.tensor([_elementary(part, degree) for part in parts], dtype=torch.float64)


@claim(
    "PolynomialGD",
    POLYNOMIAL,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-5,
    wrong=told("PolynomialGD", tau=1),
    seeds=3,
)
def the_symmetric_polynomial_has_the_other_eigenvalues(method: Any, seed: int) -> float:
    """On the eigenvectors of B the preconditioner's eigenvalues are the elementary symmetric polynomials σ_τ of all
    other eigenvalues of B.

    The largest relative difference of the first step's parts along them, divided by the gradient's, from these, both
    over their largest; τ = 2, 8 weights.
    """
    p, q = bowl(seed, *SPECTRUM)
    first, second = descend(p, method, 1, lr=1e3, tau=2).points
    found = (q.mT @ (first - second)) / (q.mT @ p.gradient(first))
    want = _others(2)
    found, want = found / found.abs().max(), want / want.max()
    return float(((found - want) / want).abs().max())


@claim(
    "PolynomialGD",
    POLYNOMIAL,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("PolynomialGD", tau=1),
    seeds=3,
)
def two_large_eigenvalues_are_cut_off(method: Any, seed: int) -> float:
    """Gradient descent with the polynomial of degree τ feels the condition number of PB alone, from which the τ largest
    eigenvalues are gone when the others are far below.

    The mean rate -log(f₊/f) that halving the step until it fits allows at least, -log(1 - 1/2κ), over that seen in
    steps 10 to 40; τ = 2, eigenvalues 1000, 600, and 3 to 1, of which all have a like part in f at first.
    """
    p, q = bowl(seed, *SPECTRUM)
    of_pb = _others(2) * torch.tensor(SPECTRUM, dtype=torch.float64)
    kappa = float(of_pb.max() / of_pb.min())
    start = q @ torch.tensor(SPECTRUM, dtype=torch.float64).rsqrt()
    losses = descend(p, method, 40, lr=1e3, tau=2, start=start).losses
    return math.log(1 - 0.5 / kappa) / (math.log(losses[-1] / losses[10]) / 30)


@claim(
    "KrylovGD",
    POLYNOMIAL,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-6,
    wrong=told("KrylovGD", tau=1),
    seeds=3,
)
def a_krylov_step_is_at_least_as_good_as_chebyshevs(method: Any, seed: int) -> float:
    """The step is the best of all polynomial preconditioners of degree τ, so on a quadratic f falls at least as far as
    with Chebyshev's: to 1/T(x)² of what it was, T of degree τ + 1 and x = (κ + 1)/(κ - 1).

    The largest f₊/f over this, 5 steps on 12 eigenvalues from 1 to 100, τ = 4.
    """
    p, _ = bowl(seed, *torch.linspace(1, 100, 12).tolist())
    losses = descend(p, method, 5, lr=1.0, tau=4).losses
    bound = math.cosh(5 * math.acosh(101 / 99)) ** -2
    return max(b / a for a, b in itertools.pairwise(losses)) / bound


@claim(
    "KrylovGD",
    POLYNOMIAL,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-6,
    wrong=told("KrylovGD", tau=0),
    seeds=3,
)
def a_krylov_step_is_at_least_as_good_as_the_symmetric_polynomial(method: Any, seed: int) -> float:
    """The automatic choice of the polynomial gains no less than the symmetric one of its degree with the best length.

    f after a step over f after that other step, from the same point, the larger of 5; τ = 2, eigenvalues 1000, 600, and
    3 to 1.
    """
    p, q = bowl(seed, *SPECTRUM)
    points, worst = descend(p, method, 5, lr=1.0, tau=2).points, 0.0
    values = torch.tensor(SPECTRUM, dtype=torch.float64)
    for before, after in itertools.pairwise(points):
        x = q.mT @ before
        d = _others(2) * values * x
        x = x - (values * x) @ d / ((values * d) @ d) * d
        worst = max(worst, float(p.loss(after)) / float(values @ x.square() / 2))
    return worst


def _extreme(method: Any, seed: int, values: tuple[float, ...], top: int, low: int, **hyper: Any) -> Tensor:
    """The parts along the eigenvectors after a step over those before: first the smallest eigenvalues."""
    p, q = bowl(seed, *values)
    told_ = {"approx_k": top, "approx_l": low, "num_iters_to_approx_eigs": 1, **hyper}
    first, second = descend(p, method, 1, lr=0.01, **told_).points
    return (q.mT @ second) / (q.mT @ first)


@claim(
    "FOSI", FOSI, kind="identity", predicts=equal(0.0), tolerance=1e-4, wrong=told("FOSI", alpha=0.1), seeds=3
)
def fosi_solves_the_extreme_subspace_at_once(method: Any, seed: int) -> float:
    """On a quadratic the step in the span of the extreme eigenvectors is Newton's: with α = 1 nothing is left there.

    The largest part along the 3 largest and 2 smallest of 12 eigenvalues after the first step, over that before; no
    momentum.
    """
    values = (1e-3, 5e-3, 1.0, 1.2, 1.5, 1.8, 2.0, 2.2, 2.5, 100.0, 300.0, 900.0)
    parts = _extreme(method, seed, values, 3, 2, alpha=1.0, momentum=0.0)
    return float(parts[[0, 1, 9, 10, 11]].abs().max())


@claim(
    "FOSI",
    FOSI,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-6,
    wrong=told("FOSI", alpha=0.1),
    seeds=2,
)
def fosi_has_the_condition_number_of_the_rest(method: Any, seed: int) -> float:
    """The effective condition number is that of the eigenvalues between the extreme ones: gradient descent with the
    step 2/(λ_hi + λ_lo) has the factor (κ - 1)/(κ + 1) there.

    The mean factor on the distance of 15 steps over that, κ = 2.5 where the whole has 900,000.
    """
    values = (1e-3, 5e-3, 1.0, 1.2, 1.5, 1.8, 2.0, 2.2, 2.5, 100.0, 300.0, 900.0)
    p, _ = bowl(seed, *values)
    hyper: dict[str, Any] = {"approx_k": 3, "approx_l": 2, "num_iters_to_approx_eigs": 1, "alpha": 1.0}
    seen = descend(p, method, 15, lr=2 / 3.5, momentum=0.0, learning_rate_clip=1.0, **hyper).points
    return float(seen[-1].norm() / seen[0].norm()) ** (1 / 15) / (1.5 / 3.5)


@claim(
    "FOSIAdam",
    FOSI,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("FOSIAdam", alpha=0.1),
    seeds=3,
)
def fosi_leaves_a_saddle_by_newtons_step_turned_round(method: Any, seed: int) -> float:
    """By |λ| in the place of λ the step goes down along negative curvature, whatever the base optimizer does elsewhere:
    with α = 1 that part doubles, and the parts along the largest eigenvalues vanish.

    The largest difference of the parts after the first step, over those before, from 2 for λ = -5 and -3 and from 0 for
    the 3 largest; no average of gradients.
    """
    values = (-5.0, -3.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 100.0, 300.0, 900.0)
    parts = _extreme(method, seed, values, 3, 2, alpha=1.0, betas=(0.0, 0.999))
    return max(float((parts[:2] - 2).abs().max()), float(parts[-3:].abs().max()))


@claim(
    "FOSIAdam",
    FOSI,
    kind="empirical",
    predicts=at_most(0.99),
    tolerance=0.0,
    wrong=instead("Adam"),
    seeds=3,
    scale="logistic regression of 200 examples with 40 correlated inputs of deviations 0.03 to 3, full batch",
)
def fosi_reaches_adams_loss_in_fewer_steps(method: Any, seed: int) -> float:
    """FOSI on top of Adam reaches Adam's loss in fewer steps.

    The steps to the loss that Adam has after 100, over 100; the best of three rates for Adam, which FOSI takes as it
    is; k = 10, T = 20, α = 0.1.
    """
    mix = torch.linalg.qr(matrix(seed, 40, 40))[0] * torch.logspace(-1.5, 0.5, 40, dtype=torch.float64)
    a = matrix(seed + 50, 200, 40) @ (mix @ torch.linalg.qr(matrix(seed + 100, 40, 40))[0])
    signs = (a @ matrix(seed + 150, 1, 40)[0] + matrix(seed + 200, 1, 200)[0]).sign()

    def loss(x: Tensor) -> Tensor:
        return nn.functional.softplus(-signs * (a @ x)).mean() + 1e-3 * x.square().sum()

    p = Problem("logistic", loss, torch.zeros(40, dtype=torch.float64))
    rates = {lr: descend(p, instead("Adam"), 100, lr=lr).losses[-1] for lr in (0.01, 0.03, 0.1)}
    lr = min(rates, key=lambda rate: rates[rate])
    hyper: dict[str, Any] = {"approx_k": 10, "num_iters_to_approx_eigs": 20, "alpha": 0.1}
    losses = descend(p, method, 100, lr=lr, **hyper).losses
    return next((t for t, f in enumerate(losses) if f <= rates[lr]), 100) / 100
