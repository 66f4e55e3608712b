"""Physics-informed training, by models that are linear in their parameters and by small networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, between, claim
from ..problem import Problem, descend
from ..problems import poisson
from ..tuning import steps_to
from .wrong import instead, scaled, told

OPERATOR = "An operator preconditioning perspective on training in physics-informed machine learning"
GRADIENT = instead("SGD", momentum=0.0)


def slowest(p: Problem) -> Tensor:
    """A point whose distance from the minimizer lies in the direction of the least curvature."""
    assert p.minimizer is not None
    return p.minimizer + torch.linalg.eigh(torch.autograd.functional.hessian(p.loss, p.start))[1][:, 0]


@claim(
    "SGD",
    OPERATOR,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-6,
    wrong=scaled("SGD", 0.5),
    seeds=3,
)
def training_a_linear_pinn_is_as_slow_as_its_condition_number_says(method: Any, seed: int) -> float:
    """Gradient descent on the residual of a PDE contracts: ‖θ_k - θ*‖ ≤ (1 - c/κ)ᵏ ‖θ_0 - θ*‖, κ the condition number
    of A_ij = ⟨Dφ_i, Dφ_j⟩ + λ⟨φ_i, φ_j⟩ on the boundary; c = 1 with the rate 1/λ_max(A).

    The largest ratio of both sides over 300 steps from 0 and from a point in the slowest direction, where they are
    equal; -u'' = f on (-π, π) with 1, sin kx and cos kx, k ≤ 3.
    """
    p = poisson(3, seed)
    assert p.smoothness is not None and p.strength is not None and p.minimizer is not None
    worst, shrink = 0.0, 1 - p.strength / p.smoothness
    for start in (p.start, slowest(p)):
        points = torch.stack(descend(p, method, 300, start=start, lr=1 / p.smoothness).points)
        far = (points - p.minimizer).norm(dim=1)
        worst = max(worst, float((far / (far[0] * shrink ** torch.arange(301))).max()))
    return worst


@claim(
    "SGD",
    OPERATOR,
    kind="theorem",
    predicts=between(3.8, 4.2),
    tolerance=0.0,
    wrong=told("SGD", momentum=0.98),
    seeds=1,
)
def steps_of_a_linear_pinn_grow_with_the_fourth_power_of_its_modes(method: Any, seed: int) -> float:
    """For Poisson's equation by K Fourier modes κ grows like K⁴, and the steps of gradient descent with it.

    The exponent of K between K = 2 and K = 3 in the steps to a hundredth of the distance, from a point in the slowest
    direction, with the rate 1/L. (Between 1 and 2 it is 3.9: the boundary's term counts there.)
    """
    few, many = (poisson(modes, seed) for modes in (2, 3))
    ratio = slow_steps(many, method, 6000, 0.01) / slow_steps(few, method, 2000, 0.01)
    return math.log(ratio) / math.log(3 / 2) if ratio > 0 else math.inf


def slow_steps(p: Problem, method: Any, most: int, share: float) -> float:
    """Steps from the slowest direction until the distance from the minimizer is that share of what it was, with the
    rate 1/L; infinite if more than ``most``."""
    assert p.minimizer is not None and p.smoothness is not None
    points = torch.stack(descend(p, method, most, start=slowest(p), lr=1 / p.smoothness).points)
    far = (points - p.minimizer).norm(dim=1)
    return steps_to(far.tolist(), share * float(far[0]))


def by_curvature(k: Tensor) -> Tensor:
    """What mode k is multiplied with: 1/k², the root of the inverse of the operator's Hermitian square."""
    return 1 / k.square()


def by_one(k: Tensor) -> Tensor:
    return torch.ones_like(k)


@claim(
    "operator preconditioning",
    OPERATOR,
    subject=by_curvature,
    kind="theorem",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=by_one,
    seeds=1,
)
def preconditioned_modes_take_as_many_steps_however_many_they_are(
    method: Callable[[Tensor], Tensor], seed: int
) -> float:
    """With modes rescaled by 1/k² the condition number is O(1) in their number, and so are the steps.

    Steps to a millionth of the distance with 32 modes over those with 4, from a point in the slowest direction, with
    the rate 1/L; infinite if more than 400.
    """
    few, many = (slow_steps(poisson(modes, seed, method), GRADIENT, 400, 1e-6) for modes in (4, 32))
    return many / few if math.isfinite(few) else math.inf


@claim(
    "operator preconditioning",
    OPERATOR,
    subject=by_curvature,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=by_one,
    seeds=1,
)
def preconditioned_modes_have_a_bounded_condition_number(
    method: Callable[[Tensor], Tensor], seed: int
) -> float:
    """Rescaling mode k by 1/k² bounds the condition number for every number of modes.

    The largest κ with 2, 4, …, 64 modes over 1.1 times that with one; the boundary's weight is λ = 1/2π.
    """

    def condition(modes: int) -> float:
        p = poisson(modes, seed, method)
        assert p.smoothness is not None and p.strength is not None
        return p.smoothness / p.strength

    return max(condition(modes) for modes in (2, 4, 8, 16, 32, 64)) / (1.1 * condition(1))
