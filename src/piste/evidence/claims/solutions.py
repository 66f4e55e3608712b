"""Which solution a method finds, where many are equally good."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..problem import Problem, descend
from .identities import SAM
from .wrong import instead, told

ALTER = "Optimizers Qualitatively Alter Solutions And We Should Leverage This"

PLAIN = instead("SGD", momentum=0.0)


def underdetermined(seed: int, rows: int = 10, size: int = 30) -> tuple[Tensor, Tensor, Problem]:
    """A, b and ½ ‖Ax - b‖² from 0, with fewer rows than numbers: a whole plane of solutions."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64) / size**0.5
    b = torch.randn(rows, generator=random, dtype=torch.float64)
    start = torch.zeros(size, dtype=torch.float64)
    return a, b, Problem("a plane of solutions", lambda x: 0.5 * (a @ x - b).square().sum(), start, 0.0)


@claim("SGD", ALTER, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=instead("Adam"), seeds=3)
def gradient_descent_finds_the_solution_of_least_norm(method: Any, seed: int) -> float:
    """Of all solutions of least squares, gradient descent from 0 finds the one of least Euclidean norm.

    The relative distance from A⁺b after 300 steps of the rate 0.5, 10 equations for 30 numbers.
    """
    a, b, p = underdetermined(seed)
    least = torch.linalg.pinv(a) @ b
    return float((descend(p, method, 300, lr=0.5).end - least).norm() / least.norm())


@claim(
    "Lion",
    ALTER,
    kind="empirical",
    predicts=at_most(0.99),
    tolerance=0.0,
    wrong=PLAIN,
    seeds=5,
    scale="least squares, 10 equations for 30 numbers, 60 instances, 300 steps with a rate that falls to 0",
)
def sign_descent_finds_a_solution_of_smaller_largest_weight(method: Any, seed: int) -> float:
    """The optimizer decides which solution is found: steps of one size in every coordinate lead to a solution whose
    largest weight is smaller than that of the least-norm solution.

    ‖x‖∞ of Lion's solution over that of A⁺b, mean over 60 instances side by side; infinite where Ax misses b by more
    than 1 %. (1 would be no difference.)
    """
    both = [underdetermined(1000 * seed + i)[:2] for i in range(60)]
    a, b = torch.stack([a for a, _ in both]), torch.stack([b for _, b in both])

    def off(x: Tensor) -> Tensor:
        return (a @ x.view(60, 30, 1)).squeeze(-1) - b

    p = Problem("planes", lambda x: 0.5 * off(x).square().sum(), torch.zeros(1800, dtype=torch.float64), 0.0)
    rate = 0.5 if method is PLAIN else 0.05
    end = descend(p, method, 300, lr=rate, schedule=lambda t: 1 - t / 300).end
    if bool((off(end).norm(dim=1) > 0.01 * b.norm(dim=1)).any()):
        return math.inf
    least = (torch.linalg.pinv(a) @ b.unsqueeze(-1)).squeeze(-1)
    return float((end.view(60, 30).abs().amax(1) / least.abs().amax(1)).mean())


def equations(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A, Ax for an x ≥ 0 of which 3 of 40 numbers are not 0, and a small positive start."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(20, 40, generator=random, dtype=torch.float64) / 20**0.5
    truth = torch.zeros(40, dtype=torch.float64)
    truth[torch.randperm(40, generator=random)[:3]] = 1.0
    return a, a @ truth, 0.01 * torch.rand(40, generator=random, dtype=torch.float64)


def growing(x: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """The step on x that a step on θ, x = θ|θ|, amounts to where it is small: 4 |x| times the gradient."""
    return x - rate * 4 * x.abs() * gradient


def even(x: Tensor, gradient: Tensor, rate: float) -> Tensor:
    return x - rate * gradient


@claim(
    "the preconditioner of a power",
    ALTER,
    subject=growing,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-3,
    wrong=even,
    seeds=3,
)
def training_powers_of_weights_is_another_optimizer(method: Callable[..., Tensor], seed: int) -> float:
    """Gradient descent on θ where x = θ|θ| is, for small rates, descent on x that is preconditioned by 4|x|: an
    architecture that makes for sparsity is an optimizer.

    The relative difference of both x after 500 steps of the rate 1e-4, 20 equations for 40 numbers.
    """
    a, b, start = equations(seed)
    x, theta = start + 0.1, (start + 0.1).sqrt()
    for _ in range(500):
        x = method(x, a.mT @ (a @ x - b), 1e-4)
        theta = theta - 1e-4 * 2 * theta.abs() * (a.mT @ (a @ (theta * theta.abs()) - b))
    return float((x - theta * theta.abs()).norm() / (x - start - 0.1).norm())


@claim(
    "the preconditioner of a power",
    ALTER,
    subject=growing,
    kind="empirical",
    predicts=at_most(0.95),
    tolerance=0.0,
    wrong=even,
    seeds=6,
    scale="20 equations for 40 numbers of which 3 are not 0 (and positive), from starts of size 0.01",
)
def a_step_that_grows_with_the_weight_finds_sparser_solutions(
    method: Callable[..., Tensor], seed: int
) -> float:
    """Steps that are longer where weights are larger lead to sparser solutions than gradient descent.

    ‖x‖₁ at the end of 3,000 steps of the rate 0.05 over that of gradient descent with the rate 0.1; infinite where Ax
    misses b by more than 5 %.
    """
    a, b, start = equations(seed)
    x, plain = start, start
    for _ in range(3000):
        x = method(x, a.mT @ (a @ x - b), 0.05)
        plain = even(plain, a.mT @ (a @ plain - b), 0.1)
    far = float((a @ x - b).norm() / b.norm())
    return float(x.abs().sum() / plain.abs().sum()) if far < 0.05 else math.inf


@claim(
    "SAM",
    SAM,
    kind="empirical",
    predicts=at_most(0.9),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.0),
    seeds=3,
    scale="½ (uᵀv - 1)² with u, v of 4 numbers, 400 steps, ρ = 0.1",
)
def sam_ends_in_flatter_minima(method: Any, seed: int) -> float:
    """Among minima of equal loss, SAM ends where the loss is flatter than where SGD ends.

    The largest eigenvalue of the Hessian there, ‖u‖² + ‖v‖², over that after SGD from the same unbalanced start.
    """
    random = torch.Generator().manual_seed(seed)
    u, v = torch.randn(2, 4, generator=random, dtype=torch.float64).unbind()
    start = torch.cat([2.5 * u / u.norm(), 0.3 * v / v.norm()])
    p = Problem("a product", lambda x: 0.5 * ((x[:4] * x[4:]).sum() - 1).square(), start, 0.0)
    end = descend(p, method, 400, lr=0.1, momentum=0.0, rho=0.1).end
    plain = descend(p, instead("SGD", momentum=0.0), 400, lr=0.1).end
    return float(end.square().sum() / plain.square().sum())


@claim(
    "SAM",
    SAM,
    kind="theorem",
    predicts=at_least(0.95),
    tolerance=0.0,
    wrong=told("SAM", rho=0.0),
    seeds=3,
)
def sams_ascent_finds_nearly_the_worst_point_of_the_ball(method: Any, seed: int) -> float:
    """To first order, the point of the ball of radius ρ where the loss is largest lies at ρ ∇f/‖∇f‖.

    How much the loss rises to the point whose gradient SAM took, over its largest rise to 20,000 random points of the
    sphere, ρ = 0.05, on a quadratic in 4 numbers.
    """
    random = torch.Generator().manual_seed(seed)
    a = torch.tensor([1.0, 0.6, 0.3, 0.1], dtype=torch.float64)
    w = torch.randn(4, generator=random, dtype=torch.float64)
    p = Problem("bowl", lambda x: 0.5 * (a * x.square()).sum(), w)
    taken = (w - descend(p, method, 1, lr=1.0, momentum=0.0, rho=0.05).end) / a
    around = torch.randn(20_000, 4, generator=random, dtype=torch.float64)
    around = w + 0.05 * around / around.norm(dim=1, keepdim=True)
    largest = float((0.5 * (a * around.square()).sum(1)).max() - p.loss(w))
    return float(p.loss(taken) - p.loss(w)) / largest
