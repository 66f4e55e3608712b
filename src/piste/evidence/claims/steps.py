"""How long a step should be: Polyak's steps, with their stochastic form; the best constant; heavy balls; ellipsoids."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from ..problem import descend
from ..problems import quadratic
from ..problems.convex import paired_data
from .descent import FLAT, square
from .papers import BUBECK, HANDBOOK
from .rows import RUNS, classes, largest, single, squares, upto, wander
from .wrong import scaled

POLYAKS = "Revisiting the Polyak Step Size"
GLOBAL = "Global convergence of the Heavy-ball method for convex optimization"


def _known(
    method: Any, loss: Callable[[Tensor], Tensor], gradient: Callable[[Tensor], Tensor], minimum: float, start: Tensor,
    steps: int,
) -> Tensor:  # fmt: skip
    """The least gap so far, of steps (f(x) - min f)/‖∇f(x)‖² along the gradient, which the method makes."""

    def polyak(x: Tensor) -> Tensor:
        g = gradient(x)
        return g * (loss(x) - minimum) / g.square().sum().clamp(min=1e-300)

    gaps = torch.stack([loss(x) - minimum for x in wander(method, polyak, start, steps, lr=1.0)])
    return gaps.cummin(0).values


@claim(
    "SGD", POLYAKS, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1e-3), seeds=4
)
def polyaks_steps_need_no_constants(method: Any, seed: int) -> float:
    """With steps of (f(x) - min f)/‖∇f(x)‖² the least gap of t points is at most G‖x_0 - x*‖/√t on Lipschitz functions,
    2L‖x_0 - x*‖²/t on smooth ones and L‖x_0 - x*‖² (1 - μ/4L)^t on strongly convex ones, whichever it is.

    Mean absolute deviations, logistic regression, and least squares with noise, which are of one kind each; the largest
    ratio over 300 steps.
    """
    a, b, best = paired_data(40, 6, seed)
    t, start = upto(301, 1), torch.zeros_like(best)
    least = float((a @ best - b).abs().mean())
    kinked = _known(
        method, lambda x: (a @ x - b).abs().mean(), lambda x: (a @ x - b).sign() @ a / 40, least, start, 300
    )
    worst = largest(kinked, float(a.norm(dim=1).mean()) * best.norm() / t.sqrt())
    f = classes(seed)
    smooth = _known(method, f.loss, f.gradient, f.minimum, torch.zeros_like(f.best), 300)
    worst = max(worst, largest(smooth, 2 * f.smooth * f.best.square().sum() / t))
    f = squares(seed)
    strong = _known(method, f.loss, f.gradient, f.minimum, torch.zeros_like(f.best), 300)
    far = f.smooth * f.best.square().sum()
    return max(worst, largest(strong, far * (1 - f.strength / (4 * f.smooth)) ** (t - 1) + 1e-13))


@claim(
    "SGD", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1e-3), seeds=3
)
def stochastic_polyak_steps(method: Any, seed: int) -> float:
    """With steps of (fᵢ(x) - fᵢ(x*))₊/‖∇fᵢ(x)‖² along the gradient of one G-Lipschitz function the average of t points
    has E f(x̄) - inf f ≤ G‖x_0 - x*‖/√t, without interpolation.

    Mean absolute deviations of 40 rows, which x* does not meet; averages of 1 … 400 points, the expectation over 64
    runs of one instance.
    """
    a, b, best = paired_data(40, 6, seed)
    draws, at_best = single(seed + 500, 40), (a @ best - b).abs()

    def polyak(x: Tensor) -> Tensor:
        i = next(draws)[:, 0]
        off = (a[i] * x).sum(1) - b[i]
        size = (off.abs() - at_best[i]).clamp(min=0) / a[i].square().sum(1)
        return a[i] * (off.sign() * size).unsqueeze(1)

    t, start = upto(400, 1), torch.zeros(RUNS, 6, dtype=torch.float64)
    mean = torch.stack(list(wander(method, polyak, start, 399, lr=1.0))).cumsum(0) / t[:, None, None]
    gaps = (mean @ a.mT - b).abs().mean(-1).mean(1) - at_best.mean()
    return largest(gaps, float(a.norm(dim=1).max()) * best.norm() / t.sqrt())


@claim(
    "SGD", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1.05), seeds=3
)
def the_best_constant_rate_under_strong_convexity(method: Any, seed: int) -> float:
    """On an L-smooth, μ-strongly convex function gradient descent with the rate 2/(L + μ) has f(x_t) - inf f ≤ L/2
    exp(-4t/(κ+1)) ‖x_0 - x*‖².

    Quadratics of κ = 2, 10 and 100 with random axes, the largest ratio over 60 steps; with a rate 5 % larger steep
    directions contract no more in time.
    """
    worst = 0.0
    for low in (0.5, 0.1, 0.01):
        p = quadratic((1.0, (1 + low) / 2, low), seed)
        losses = torch.tensor(descend(p, method, 60, lr=2 / (1 + low)).losses, dtype=torch.float64)
        bound = 0.5 * (-4 * upto(60, 1) / (1 / low + 1)).exp() * square(p, p.start)
        worst = max(worst, largest(losses[1:], bound + 1e-24))
    return worst


@claim(
    "SGD", GLOBAL, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1e-3), seeds=3
)
def averaged_heavy_balls_on_convex_functions(method: Any, seed: int) -> float:
    """On a convex, L-smooth function the heavy ball with momentum β and a rate η ≤ (1-β)/L has, at the average of x_0 …
    x_t, f(x̄) - inf f ≤ ((1-β)/2η ‖x_0 - x*‖² + β/(1-β) (f(x_0) - inf f)) / (t+1).

    A singular quadratic with random axes, β = 0.5, 0.9 and 0.99, η = (1-β)/L, the largest ratio over 200 steps.
    """
    p, worst = quadratic(FLAT, seed), 0.0
    for beta in (0.5, 0.9, 0.99):
        trace = descend(p, method, 200, lr=1 - beta, momentum=beta)
        t = upto(201, 1)
        mean = torch.stack(trace.points).cumsum(0) / t.unsqueeze(1)
        gaps = torch.stack([p.loss(x) for x in mean])
        worst = max(
            worst, largest(gaps, (0.5 * square(p, p.start) + beta / (1 - beta) * trace.losses[0]) / t)
        )
    return worst


Oracle = Callable[[Tensor], Tensor]


def ellipsoids(cut: Oracle, size: int, steps: int) -> list[Tensor]:
    """The centers of ellipsoids that begin as the unit ball; each is the smallest that holds the half of the one before
    which ``cut`` at its center points away from."""
    c, h = torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)
    centers = [c]
    for _ in range(steps):
        w = cut(c)
        g = h @ w / (w @ h @ w).sqrt()
        c = c - g / (size + 1)
        h = size**2 / (size**2 - 1) * (h - 2 / (size + 1) * torch.outer(g, g))
        centers.append(c)
    return centers


def _steps_of_the_ball(cut: Oracle, size: int, steps: int) -> list[Tensor]:
    """Subgradient steps whose length falls as in gradient methods: no linear rate."""
    c = torch.zeros(size, dtype=torch.float64)
    centers = [c]
    for t in range(steps):
        w = cut(c)
        c = c - w / (w.norm() * math.sqrt(t + 1))
        centers.append(c)
    return centers


@claim(
    "ellipsoid method", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=_steps_of_the_ball,
    subject=ellipsoids, seeds=3,
)  # fmt: skip
def ellipsoids_converge_linearly_on_any_convex_function(method: Any, seed: int) -> float:
    """Where |f| ≤ B on the unit ball the best of the centers of t ellipsoids in it has f - f* ≤ 2B exp(-t/2n²), smooth
    or not.

    Mean absolute deviations of 20 rows in 3 dimensions, x* at half of the radius; the largest ratio for t = 1 … 300; B
    from the size of rows.
    """
    a, b, best = paired_data(20, 3, seed)
    shift = best - 0.5 * best / best.norm()
    b = b - a @ shift
    best = best - shift

    def loss(x: Tensor) -> Tensor:
        return (a @ x - b).abs().mean()

    def cut(x: Tensor) -> Tensor:
        return x if x.norm() > 1 else (a @ x - b).sign() @ a / len(a)

    seen, lowest = [], math.inf
    for c in method(cut, 3, 300):
        lowest = min(lowest, float(loss(c)) if c.norm() <= 1 else math.inf)
        seen.append(lowest - float(loss(best)))
    highest = float(loss(torch.zeros_like(best)) + a.norm(dim=1).mean())
    spread = (highest - float(loss(best))) / 2  # f less the middle of its values is at most this
    return largest(
        torch.tensor(seen[1:], dtype=torch.float64), 2 * spread * (-upto(300, 1) / 18).exp() + 1e-12
    )
