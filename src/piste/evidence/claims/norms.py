"""A norm for every tensor: steepest descent, trust regions, and weights kept in a ball."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, between, claim, equal
from .identities import farthest, noise, walk
from .matrices import matrix, step_of
from .papers import OLD_NEW
from .wrong import instead, told

KOVALEV = (
    "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region Optimization"
)
SCION = "Training Deep Learning Models with Norm-Constrained LMOs"


def _given(method: Any) -> Any:
    """A method for hidden matrices takes a bare one as such."""

    def make(params: Any, **hyper: Any) -> Any:
        name = method.__name__
        if get(name, "optimizer").target.factory.matrix:
            params = [{"params": [(f"h.{i}.weight", p) for i, p in enumerate(params)], "optimizer": name}]
        return method(params, **hyper)

    return make


def _least_decrease(method: Any, start: Tensor, hessian: Tensor, smoothness: float, dual: Any) -> float:
    """The smallest ratio of what a step of rate 1/L gains to ‖g‖_*²/2L, over 60 steps on ½ vec(W)ᵀ A vec(W)."""

    def slope(_: int, w: Tensor) -> Tensor:
        return (hessian @ w.flatten()).view_as(w)

    points = walk(_given(method), start, slope, 60, lr=1 / smoothness)
    losses = [0.5 * float(w.flatten() @ hessian @ w.flatten()) for w in points]
    gains = (a - b for a, b in itertools.pairwise(losses))
    bounds = (dual(slope(0, w)) ** 2 / (2 * smoothness) for w in points)
    return min(gain / bound for gain, bound in zip(gains, bounds, strict=False))


def _hessian(seed: int, size: int) -> Tensor:
    root = matrix(seed + 40, size, size)
    return root @ root.mT / size + torch.eye(size, dtype=torch.float64)


@claim(
    "SignDescent",
    OLD_NEW,
    kind="theorem",
    predicts=at_least(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def sign_descent_gains_the_square_of_the_gradients_sum(method: Any, seed: int) -> float:
    """Where f is L-smooth in the largest-entry norm, steepest descent in it gains ‖g‖₁²/2L in every step of rate 1/L.

    The smallest ratio of gain to bound on a quadratic of 12 numbers with L = Σ |A_ij|, 60 steps.
    """
    a = _hessian(seed, 12)
    return _least_decrease(
        method, matrix(seed, 3, 4), a, float(a.abs().sum()), lambda g: float(g.abs().sum())
    )


@claim(
    "RowDescent",
    OLD_NEW,
    kind="theorem",
    predicts=at_least(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def row_descent_gains_the_square_of_the_rows_norms(method: Any, seed: int) -> float:
    """With the norm of an embedding, the largest RMS of a row, steepest descent gains (Σ √n ‖gᵢ‖)²/2L a step.

    The smallest ratio of gain to bound on a quadratic of a 3 × 4 matrix with L = 12 times the largest eigenvalue, for
    ‖D‖_F² ≤ 12 max rms(Dᵢ)².
    """
    a = _hessian(seed, 12)
    smoothness = 12 * float(torch.linalg.eigvalsh(a).max())
    return _least_decrease(
        method, matrix(seed, 3, 4), a, smoothness, lambda g: 2 * float(g.norm(dim=1).sum())
    )


@claim(
    "SpectralDescent",
    OLD_NEW,
    kind="theorem",
    predicts=between(0.45, 1.5),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
)
def a_steepest_step_is_as_long_as_the_gradients_dual_norm(method: Any, seed: int) -> float:
    """The step of steepest descent has, in its norm, the length of the gradient in the dual norm: for the operator norm
    between RMS norms √(n/m) σ₁(U) = √(m/n) Σ σᵢ(G).

    The ratio of both sides for 12 × 20 matrices: 1 for exact orthogonalization; the singular values of Muon's quintic
    lie in [0.65, 1.25], and enter twice.
    """
    m, n = 12, 20
    g = matrix(seed, m, n)
    step = step_of(_given(method), g)
    length = (n / m) ** 0.5 * float(torch.linalg.matrix_norm(step, 2))
    return length / ((m / n) ** 0.5 * float(torch.linalg.svdvals(g).sum()))


def prodigy_without_averages(gradient: Tensor, first: float, steps: int) -> list[float]:
    """Prodigy's rates on a linear loss, its betas 0: d ← max(d, ⟨g, w₀ - w⟩/‖g‖₁), w ← w - d sign g."""
    w, d, rates = torch.zeros_like(gradient), first, []
    for _ in range(steps):
        d = max(d, float(-(gradient * w).sum() / gradient.abs().sum()))
        rates.append(d)
        w = w - d * gradient.sign()
    return rates


def sign_descent_at_one_rate(gradient: Tensor, first: float, steps: int) -> list[float]:
    return [first] * steps


@claim(
    "Prodigy without averages",
    OLD_NEW,
    kind="identity",
    predicts=equal(1.0),
    tolerance=1e-12,
    wrong=sign_descent_at_one_rate,
    subject=prodigy_without_averages,
    seeds=3,
)
def prodigy_doubles_its_rate_until_it_escapes(method: Callable[..., list[float]], seed: int) -> float:
    """Prodigy with its averages off is sign descent whose rate grows exponentially from a tiny one, until the weights
    have escaped the linear neighbourhood of their start: from the second step on it doubles.

    On a linear loss of 20 numbers the 30th rate over 2²⁸ times the first.
    """
    return method(matrix(seed, 1, 20), 1e-6, 30)[-1] / (1e-6 * 2.0**28)


@claim(
    "TrustRegionSign",
    KOVALEV,
    kind="theorem",
    predicts=at_most(0.0),
    tolerance=1e-12,
    wrong=told("TrustRegionSign", l1=0.0),
    seeds=3,
)
def the_composite_step_is_the_least_in_its_box(method: Any, seed: int) -> float:
    """Every step leads to the minimiser of ⟨m, x⟩ + R(x) in the trust region, the composite term R as it is (and not
    linearized).

    For R = 0.7 ‖x‖₁, η = 0.3 and the decay 0.5: by how much the best of 2,001 points of every coordinate's interval,
    and 0, is below the step's; the largest over 10 steps on 40 numbers.
    """
    lr, l1, decay, beta = 0.3, 0.7, 0.5, 0.9
    gradients = noise(seed, 40)
    points = walk(
        method, matrix(seed, 1, 40)[0], gradients, 10, lr=lr, l1=l1, weight_decay=decay, momentum=beta
    )
    m, worst = torch.zeros(40, dtype=torch.float64), -math.inf
    grid = torch.linspace(-lr, lr, 2001, dtype=torch.float64).unsqueeze(1)
    for t, (before, after) in enumerate(itertools.pairwise(points)):
        m = beta * m + (1 - beta) * gradients(t, before)
        centre = (1 - lr * decay) * before
        inside = torch.where(centre.abs() <= lr, 0.0, after).unsqueeze(0)
        tried = torch.cat([centre + grid, inside])
        best = (m * tried + l1 * tried.abs()).amin(0)
        worst = max(worst, float((m * after + l1 * after.abs() - best).sum()))
    return worst


@claim(
    "TrustRegionL2",
    KOVALEV,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("TrustRegionL2", momentum=0.0),
    seeds=2,
)
def momentum_makes_normalized_steps_converge_under_noise(method: Any, seed: int) -> float:
    """The averaged gradient, normalized, converges for any noise of variance σ²: over K steps the mean of ‖∇f‖ is at
    most Δ/ηK + Lη/2 + 2(‖∇f(x₀)‖/αK + Lη/α + √α σ), with α = 1 - μ, Δ = f(x₀) - min f.

    The ratio of both sides for f = ½x² from x₀ = -1, σ² = 3: the noise is 1 three times of four, and -3; α = 0.01, η =
    0.002, K = 3,000. Without momentum steps go up as often as not at x = -1, and down above it.
    """
    alpha, lr, steps = 0.01, 0.002, 3000
    random = torch.Generator().manual_seed(seed)
    rare = torch.rand(steps, generator=random) < 0.25
    added = torch.where(rare, -3.0, 1.0).double()
    hyper = {"lr": lr, "momentum": 1 - alpha}
    points = walk(method, -torch.ones(1, dtype=torch.float64), lambda t, x: x + added[t], steps, **hyper)
    found = float(torch.stack(points[:-1]).abs().mean())
    parts = 1 / (alpha * steps) + lr / alpha + alpha**0.5 * 3**0.5
    return found / (0.5 / (lr * steps) + lr / 2 + 2 * parts)


@claim(
    "ScionSign",
    SCION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("ScionSign", unconstrained=True),
    seeds=2,
)
def scion_in_a_ball_is_a_trust_region_with_decay(method: Any, seed: int) -> float:
    """The conditional gradient step in a ball of radius ρ at the rate η is the unconstrained one of length ηρ with the
    decoupled weight decay 1/ρ: decay is what keeps weights in a ball.

    The largest difference over 50 steps of Gaussian gradients to sign descent with momentum, η = 0.01, ρ = 5.
    """
    lr, radius, gradients = 0.01, 5.0, noise(seed, 6, 4)
    ball = walk(
        method, matrix(seed, 6, 4), gradients, 50, lr=lr, scale=radius, normalized=False, unconstrained=False
    )
    region = get("TrustRegionSign", "optimizer").target
    decayed = walk(region, matrix(seed, 6, 4), gradients, 50, lr=lr * radius, weight_decay=1 / radius)
    return farthest(ball, decayed)


@claim(
    "Scion",
    SCION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.25,
    wrong=told("Scion", unconstrained=True),
    seeds=3,
)
def scions_weights_stay_in_their_ball(method: Any, seed: int) -> float:
    """Constrained, the weights never leave the ball of the radius ρ in which they start, whatever the gradients.

    The largest operator norm √(n/m) σ₁(W) over ρ of 300 steps on one gradient that comes again and again, 6 × 10, η =
    0.02, ρ = 3; Muon's quintic overshoots by at most a quarter.
    """
    m, n, radius = 6, 10, 3.0
    g = matrix(seed, m, n)
    start = 0.1 * matrix(seed + 1, m, n)
    points = walk(
        _given(method), start, lambda t, w: g, 300, lr=0.02, scale=radius, momentum=0.9, unconstrained=False
    )
    return max(float((n / m) ** 0.5 * torch.linalg.matrix_norm(w, 2)) for w in points) / radius


@claim(
    "ScionSign", SCION, kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=instead("SGD"), seeds=3
)
def scion_solves_the_constrained_problem_at_frank_wolfes_rate(method: Any, seed: int) -> float:
    """On a convex problem the constrained form is Frank-Wolfe's method: with the rates 2/(k+2) the loss is within
    2LD²/(k+2) of the least in the ball, D the ball's diameter.

    The largest ratio of |f - f*| to the bound over 300 steps for f = ½‖x - c‖² of 20 numbers, c outside the box |x| ≤
    1.
    """
    target = 3 * matrix(seed, 1, 20)[0]
    best = float(0.5 * (target - target.clamp(-1, 1)).square().sum())
    w = torch.nn.Parameter(torch.zeros(20, dtype=torch.float64))
    hyper = {"momentum": 0.0, "scale": 1.0, "normalized": False, "unconstrained": False}
    opt, worst = method([w], lr=1.0, **hyper), 0.0
    for k in range(300):
        opt.param_groups[0]["lr"] = 2 / (k + 2)
        w.grad = w.detach() - target
        opt.step()
        off = abs(float(0.5 * (w.detach() - target).square().sum()) - best)
        worst = max(worst, off * (k + 3) / (2 * 80))
    return worst
