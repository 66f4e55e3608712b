"""Acceleration with nothing to tune: U-DoG; and what all methods without parameters share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal
from ..problem import Problem
from ..problems import worst_smooth
from ..tuning import steps_to
from .identities import farthest, noise, walk
from .rows import Rows, classes, single, squares
from .wrong import instead, told

UDOG = "Accelerated Parameter-Free Stochastic Optimization"
Gradient = Callable[[int, Tensor], Tensor]


def averaged_end(method: Any, start: Tensor, gradient: Gradient, steps: int, **hyper: Any) -> Tensor:
    """Where a method says to look after so many gradients: at its average, if it keeps one."""
    w = torch.nn.Parameter(start.clone())
    opt = method([w], **hyper)
    for t in range(steps):
        w.grad = gradient(t, w.detach())
        opt.step()
    with opt.averaged():
        return w.detach().clone()


def scale_matters(method: Any, seed: int, **hyper: Any) -> float:
    """How far apart the paths are for f and 1000 f: 30 steps on a sum of cosh, over the way that was gone."""
    draw = noise(seed, 12)
    start = draw(0, torch.zeros(()))

    def slope(t: int, x: Tensor) -> Tensor:
        return x.sinh() + 0.3 * draw(t + 1, x)

    one = walk(method, start, slope, 30, **hyper)
    other = walk(method, start, lambda t, x: 1000 * slope(t, x), 30, **hyper)
    return farthest(one, other) / max(float((x - start).abs().max()) for x in one)


def exact(p: Problem) -> Gradient:
    return lambda _, x: p.gradient(x)


def drawn(f: Rows, seed: int, batch: int) -> Gradient:
    """Gradients of so many rows at a time."""
    draws = single(seed + 500, len(f.a), batch, runs=1)
    return lambda _, x: f.drawn(x.unsqueeze(0), next(draws)).squeeze(0)


def start_of(f: Rows) -> Tensor:
    return torch.zeros_like(f.a[0])


def gap(f: Rows, x: Tensor) -> float:
    return float(f.loss(x)) - f.minimum


def nesterov(f: Rows, steps: int) -> list[Tensor]:
    """The points of the fast gradient method that knows L."""
    x = y = start_of(f)
    points = [x]
    for t in range(steps):
        new = y - f.gradient(y) / f.smooth
        x, y = new, new + t / (t + 3) * (new - x)
        points.append(x)
    return points


@claim(
    "UDoG",
    UDOG,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def udog_does_not_see_the_scale_of_the_loss(method: Any, seed: int) -> float:
    """U-DoG needs no knowledge of smoothness or noise: its path is the same for f and 1000 f.

    The distance of both paths over 30 noisy steps, over the way that was gone; r_ε = 0.01 (1 + ‖x₀‖).
    """
    return scale_matters(lambda ps, **h: method(ps, lr=1.0, **h), seed, reps_rel=1e-2)


@claim(
    "UDoG",
    UDOG,
    kind="empirical",
    predicts=at_most(8.0),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
    scale="Nesterov's worst smooth function in 401 dimensions, 100 to 800 exact gradients, r_ε of 1e-6 to 1e-2",
)
def udogs_gap_falls_as_the_square_of_steps(method: Any, seed: int) -> float:
    """Without noise U-DoG is accelerated, untold: f(x̂_T) - f* = O(L d₀²/T²) up to logarithms, on the function that
    makes this the best there is.

    The largest (f - f*) T² / L d₀² after T = 100, 200, 400 and 800 gradients. Two of them make a step, and Nesterov's
    method, which knows L, has 2 with one: 8 is what is predicted. The first movement is 10^(2 (seed mod 3) - 6).
    """
    p, worst = worst_smooth(401, 200), 0.0
    assert p.minimizer is not None and p.smoothness is not None
    unit = p.smoothness * float((p.minimizer - p.start).square().sum())
    w = torch.nn.Parameter(p.start.clone())
    opt = method([w], lr=1.0, reps_rel=10.0 ** (2 * (seed % 3) - 6))
    for t in range(1, 801):
        w.grad = p.gradient(w)
        opt.step()
        if t in (100, 200, 400, 800):
            with opt.averaged():
                worst = max(worst, p.gap(w.detach()) * t * t / unit)
    return worst


@claim(
    "UDoG",
    UDOG,
    kind="empirical",
    predicts=at_most(5.0),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=8,
    scale="logistic regression with 60 rows and 5 columns, λ = 0.001, exact gradients, r_ε = 1e-6",
)
def udog_comes_near_the_tuned_fast_gradient_method(method: Any, seed: int) -> float:
    """On convex problems U-DoG is strong and consistent, near accelerated methods that are told what it is not.

    Gradients until the gap is a millionth of the first, over those that Nesterov's method takes with the true L; five
    times as many are taken for near, since two of them make a step.
    """
    f = classes(seed, ridge=1e-3)
    goal = 1e-6 * gap(f, start_of(f))
    fast = steps_to([gap(f, x) for x in nesterov(f, 400)], goal)
    w = torch.nn.Parameter(start_of(f))
    opt = method([w], lr=1.0 if method.__name__ == "UDoG" else 1e-3)
    for t in range(1, 401):
        w.grad = f.gradient(w.detach())
        opt.step()
        with opt.averaged():
            if gap(f, w.detach()) <= goal:
                return t / fast
    return math.inf


@claim(
    "UDoG",
    UDOG,
    kind="empirical",
    predicts=at_most(-0.5),
    tolerance=0.15,
    wrong=told("UDoG", lr=1e-7),
    seeds=4,
    cost="full",
    scale="least squares with 40 rows and 8 columns, noise 1, batches of one row, 200 and 3,200 gradients",
)
def udog_averages_noise_away(method: Any, seed: int) -> float:
    """With noise U-DoG's gap falls as 1/√T, the best there is, for a noise that it is not told.

    The power of T, from 200 to 3,200 gradients, of the gap (on a strongly convex function it may fall faster).
    """
    f = squares(seed)
    gaps = [
        gap(f, averaged_end(method, start_of(f), drawn(f, seed, 1), t, lr=1.0, reps_rel=1e-3))
        for t in (200, 3200)
    ]
    return math.log(gaps[1] / gaps[0]) / math.log(16.0)


def network(seed: int) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Tensor]]:
    """A tanh network of 16 hidden neurons, and the loss of what a wider one says: noise-free regression."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    x = draw(128, 6)
    y = ((x @ draw(6, 32)).tanh() @ draw(32, 1)) / 32**0.5
    weights = [draw(6, 16) / 6**0.5, draw(16) * 0.1, draw(16, 1) / 4]
    return weights, lambda w: ((x @ w[0] + w[1]).tanh() @ w[2] - y).square().mean()


def trained(
    method: Any, seed: int, steps: int, schedule: Callable[[int], float] | None = None, **hyper: Any
) -> float:
    """The loss of that network at the end, at the method's average if it keeps one."""
    weights, loss = network(seed)
    live = [torch.nn.Parameter(w) for w in weights]
    opt = method(live, **hyper)
    rates = [group["lr"] for group in opt.param_groups]

    def closure() -> Tensor:
        opt.zero_grad()
        value = loss(live)
        value.backward()
        return value.detach()

    for t in range(steps):
        for group, rate in zip(opt.param_groups, rates, strict=True):
            group["lr"] = rate * (schedule(t) if schedule else 1.0)
        opt.step(closure)
    with torch.no_grad(), opt.averaged():
        return float(loss(live))


@claim(
    "UDoG",
    UDOG,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.3,
    wrong=told("UDoG", lr=1e-4),
    seeds=6,
    cost="full",
    scale="a tanh network of 16 hidden neurons on 128 examples, 400 full-batch gradients",
)
def udog_is_no_worse_than_dog_on_a_network(method: Any, seed: int) -> float:
    """On networks the authors' results are mixed: here, that U-DoG at least keeps up with DoG.

    The decimal logarithm of its loss over DoG's, both at their averages, r_ε = 1e-4 relative.
    """
    dog = get("DoG", "optimizer").target
    return math.log10(
        trained(method, seed, 400, lr=1.0, reps_rel=1e-4) / trained(dog, seed, 400, lr=1.0, reps_rel=1e-4)
    )
