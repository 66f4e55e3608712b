"""Newton's method: with steps that make it global, and with damping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..._closure import closure
from ..claim import at_least, at_most, claim, equal
from ..problem import Problem, descend
from .matrices import matrix
from .papers import MARQUARDT, ROOT_NEWTON
from .wrong import instead, told

softplus = nn.functional.softplus


def classes(seed: int, through: Tensor | None = None, weight: float = 0.01) -> Problem:
    """Logistic regression of 30 examples with 5 inputs of size 3 and a ridge, in other coordinates."""
    a = 3 * matrix(seed, 30, 5)
    map_ = torch.eye(5, dtype=torch.float64) if through is None else through
    start = torch.linalg.solve(map_, 3 * matrix(seed + 50, 1, 5)[0])

    def loss(x: Tensor) -> Tensor:
        z = map_ @ x
        return softplus(a @ z).mean() - 0.3 * (a @ z).mean() + weight / 2 * z.square().sum()

    return Problem("classes", loss, start)


def _off_in_other_coordinates(method: Any, seed: int, **hyper: Any) -> float:
    """The largest difference of the points of 15 steps on f and on f(A·), A of condition 100, mapped back."""
    left, right = (torch.linalg.qr(matrix(seed + k, 5, 5))[0] for k in (100, 150))
    a = left @ torch.diag(torch.logspace(-1, 1, 5, dtype=torch.float64)) @ right
    plain, other = _exactly(method, classes(seed), **hyper), _exactly(method, classes(seed, a), **hyper)
    return max(float((x - a @ y).abs().max()) for x, y in zip(plain, other, strict=True))


class Weights(nn.Module):
    """A problem's unknowns as a network, and its loss as what it computes."""

    def __init__(self, start: Tensor, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.at = nn.Parameter(start.clone())
        self.compute = compute

    def forward(self, _: Any) -> Tensor:
        return self.compute(self.at)


def _run(method: Any, net: Weights, steps: int, residuals: bool = False, **hyper: Any) -> list[Tensor]:
    opt, points = method(net, **hyper), [net.at.detach().clone()]
    for _ in range(steps):
        opt.step(closure(net, [None], net, residuals=residuals))
        points.append(net.at.detach().clone())
    return points


def _exactly(method: Any, p: Problem, **hyper: Any) -> list[Tensor]:
    """The points of 15 steps with Hessian products by a double backward."""
    return _run(method, Weights(p.start, p.loss), 15, exact=True, **hyper)


@claim(
    "RootNewton",
    ROOT_NEWTON,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("SGD"),
    seeds=3,
)
def root_newton_does_not_see_linear_coordinates(method: Any, seed: int) -> float:
    """The stepsize depends on the gradient in the Hessian's norm alone, so the method is affine-invariant.

    The largest difference over 15 steps of logistic regression in coordinates that are mapped by a matrix of condition
    100, M = 10.
    """
    return _off_in_other_coordinates(method, seed, lr=1.0, smoothness=10.0)


def separable(seed: int) -> tuple[Problem, float, float]:
    """Σ softplus(xᵢ) - pᵢxᵢ + μxᵢ²/2 from far away, the Lipschitz constant of its third derivative in the norm of its
    Hessian, and μ."""
    mu, chances = 0.01, torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    chances = 0.1 + 0.8 * chances

    def loss(x: Tensor) -> Tensor:
        return (nn.functional.softplus(x) - chances * x + mu / 2 * x.square()).sum()

    return Problem("separable", loss, 8 * matrix(seed, 1, 5)[0]), 1 / 8 / mu**2, mu


def _bend(x: Tensor, mu: float) -> Tensor:
    """The Hessian of the separable problem, which is diagonal."""
    return x.sigmoid() * (1 - x.sigmoid()) + mu


@claim(
    "RootNewton",
    ROOT_NEWTON,
    kind="theorem",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=told("RootNewton", smoothness=1e-6),
    seeds=3,
)
def root_newton_gains_what_the_next_gradient_costs(method: Any, seed: int) -> float:
    """Where M is the Lipschitz constant of the third derivative in the Hessian's norm, every step has f(x) - f(x⁺) ≥
    ‖∇f(x⁺)‖*²/2θ, with θ = (9M)^⅓ γ^⅔: this gives the rate k⁻³.

    The smallest ratio of both sides over 40 steps from far away for f = Σ softplus(xᵢ) - pᵢxᵢ + 0.01 xᵢ²/2 of 5
    numbers: M = 1/8 · 0.01⁻², the norm ‖·‖* being that of the Hessian at x. Newton's full steps overshoot.
    """
    p, m, mu = separable(seed)
    seen, least = descend(p, method, 40, lr=1.0, smoothness=m, q=4.0), math.inf
    for t, x in enumerate(seen.points[:-1]):
        bend = _bend(x, mu)
        gamma = float((p.gradient(x).square() / bend).sum()) ** 0.5
        after = float((p.gradient(seen.points[t + 1]).square() / bend).sum())
        if gamma > 1e-5:  # below the gains are but rounding
            least = min(
                least,
                (seen.losses[t] - seen.losses[t + 1]) * 2 * (9 * m) ** (1 / 3) * gamma ** (2 / 3) / after,
            )
    return least


@claim(
    "UniversalNewton",
    ROOT_NEWTON,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("SGD"),
    seeds=3,
)
def universal_newton_does_not_see_linear_coordinates(method: Any, seed: int) -> float:
    """Steps found by backtracking in the Hessian's norm are as affine-invariant as the others.

    As for RootNewton; σ₀ = 100.
    """
    return _off_in_other_coordinates(method, seed, lr=1.0, sigma0=100.0)


@claim(
    "UniversalNewton",
    ROOT_NEWTON,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("UniversalNewton", c=1.0),
    seeds=3,
)
def universal_newton_needs_no_more_damping_than_the_constant_allows(method: Any, seed: int) -> float:
    """Backtracking damps as much as a step needs for f(x) - f(x⁺) ≥ ‖∇f(x⁺)‖*²/2θ, and never goes beyond the constant
    with which that is certain: σ ≤ (9M)^⅓ for β = 2/3, M as in RootNewton's claim.

    The larger of ‖∇f(x⁺)‖*² over 2θ (f(x) - f(x⁺)), with θ = γ/‖x⁺ - x‖ - 1 as the step has it, and of σ over (9M)^⅓;
    the largest of 12 steps from σ₀ = 1e-3 on the function of that claim. Without backtracking σ stays small and steps
    overshoot.
    """
    p, m, mu = separable(seed)
    w = nn.Parameter(p.start.clone())
    opt, largest = method([w], lr=1.0, beta=2 / 3, sigma0=1e-3), 0.0

    def evaluate() -> Tensor:
        opt.zero_grad()
        loss = p.loss(w)
        loss.backward()
        return loss.detach()

    for _ in range(12):
        x = w.detach().clone()
        opt.step(evaluate)
        slope, moved, bend = p.gradient(w), w.detach() - x, _bend(x, mu)
        if float(slope.norm()) < 1e-4:
            break  # what remains is rounding, which no step overcomes
        gamma, length = (
            float(h.sum()) ** 0.5 for h in (p.gradient(x).square() / bend, moved.square() * bend)
        )
        gained = 2 * (gamma / length - 1) * float(p.loss(x) - p.loss(w.detach()))
        short = float((slope.square() / bend).sum()) / gained if gained > 0 else math.inf
        largest = max(largest, short, float(opt.state[w]["sigma"]) / (9 * m) ** (1 / 3))
    return largest


@claim(
    "LevenbergMarquardt",
    MARQUARDT,
    kind="theorem",
    predicts=at_least(1.8),
    tolerance=0.0,
    wrong=told("LevenbergMarquardt", eta=0.0),
    seeds=3,
)
def levenberg_marquardt_is_quadratic_where_solutions_are_not_isolated(method: Any, seed: int) -> float:
    """Where ‖r‖ bounds the distance to the solutions and J is Lipschitz, damping by ‖r‖ makes the distance fall
    quadratically, though J may be singular there: the solutions may be a whole surface.

    The order log(d₊/d)/log(d/d₋) of three distances to the unit sphere of R³, two equations, the first d below 0.1.
    """

    def residual(x: Tensor) -> Tensor:
        off = x.square().sum() - 1
        return torch.stack([off, off * (2 + x[0])])

    start = 1.5 * nn.functional.normalize(matrix(seed, 1, 3)[0], dim=0)
    points = _run(method, Weights(start, residual), 20, residuals=True)
    off = [abs(float(x.norm()) - 1) for x in points]
    first = next(t for t, d in enumerate(off) if d < 0.1)
    a, b, c = off[first : first + 3]
    return math.log(max(c, 1e-16) / b) / math.log(b / a)


@claim(
    "LevenbergMarquardt",
    MARQUARDT,
    kind="identity",
    predicts=equal(0.6),
    tolerance=1e-6,
    wrong=told("LevenbergMarquardt", eta=0.5),
    seeds=2,
)
def levenberg_marquardt_is_linear_at_a_double_root(method: Any, seed: int) -> float:
    """Where ‖r‖ bounds but a power of the distance, the damping by ‖r‖ still gives linear convergence.

    The factor of the 40th step on r = x², at whose root J is 0, with η = ξ = 1 and ω = 0: 1 - 2/(4 + ξ).
    """
    start = 0.5 + matrix(seed, 1, 1)[0].abs()
    points = _run(method, Weights(start, torch.square), 40, residuals=True, omega=0.0, xi=1.0)
    return float(points[-1] / points[-2])
