"""Losses with an ℓ1 part: proximal steps, accelerated ones, stochastic ones; and acceleration without a kink."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._transform import Chain, chain
from ...transforms.decay import descend
from ...transforms.proximal import extrapolate, prox_l1
from ..claim import at_most, claim
from ..methods import of_chain
from ..problems import worst_smooth
from ..problems.convex import lasso_data
from .papers import HANDBOOK
from .rows import RUNS, Rows, distances, fitted, largest, single, upto, wander
from .wrong import scaled

FISTA = "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems"
WEIGHT = 0.3


def _proximal(lr: float, weight: float) -> Chain:
    return chain(descend(lr), prox_l1(lr, weight))


def _blunt(lr: float, weight: float) -> Chain:
    """Without the proximal step, so that it minimizes another function."""
    return chain(descend(lr))


def _slow(lr: float, weight: float) -> Chain:
    return chain(descend(0.05 * lr), prox_l1(0.05 * lr, weight))


def _hasty(lr: float, weight: float) -> Chain:
    return chain(descend(100 * lr), prox_l1(100 * lr, weight))


def _fast(lr: float, weight: float = 0.0) -> Chain:
    return chain(descend(lr), prox_l1(lr, weight), extrapolate())


def _soft(x: Tensor, threshold: float) -> Tensor:
    return x.sign() * (x.abs() - threshold).clamp(min=0)


def _lasso(rows: int, size: int, seed: int) -> tuple[Rows, Tensor]:
    """The smooth part, and the minimizer of the whole."""
    a, b, best = lasso_data(rows, size, seed, WEIGHT)
    return fitted(a, b), best


def _whole(f: Rows, x: Tensor) -> Tensor:
    return f.loss(x) + WEIGHT * x.abs().sum(-1)


def _path(method: Any, f: Rows, steps: int, lr: float) -> Tensor:
    start = torch.zeros(f.a.shape[1], dtype=torch.float64)
    return torch.stack(list(wander(method, f.gradient, start, steps, lr=lr, weight=WEIGHT)))


@claim(
    "prox_l1", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=of_chain(_blunt),
    subject=of_chain(_proximal), seeds=4,
)  # fmt: skip
def proximal_gradients_on_convex_functions(method: Any, seed: int) -> float:
    """On F = f + g, f convex and L-smooth, g convex, proximal gradient steps with γ ≤ 1/L have F(x_t) - inf F ≤ ‖x_0 -
    x*‖² / 2γt.

    Lasso with 10 rows in 16 dimensions, whose minimizer was chosen first; the largest ratio over 500 steps.
    """
    f, best = _lasso(10, 16, seed)
    gaps = _whole(f, _path(method, f, 500, 1 / f.smooth)) - _whole(f, best)
    return largest(gaps[1:], best.square().sum() * f.smooth / (2 * upto(500, 1)))


@claim(
    "prox_l1", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=of_chain(_blunt),
    subject=of_chain(_proximal), seeds=4,
)  # fmt: skip
def proximal_gradients_under_strong_convexity(method: Any, seed: int) -> float:
    """On F = f + g, f L-smooth and μ-strongly convex, g convex, proximal gradient steps with γ ≤ 1/L have ‖x_t - x*‖² ≤
    (1 - γμ)^t ‖x_0 - x*‖².

    Lasso with 40 rows in 8 dimensions, the largest ratio over 300 steps.
    """
    f, best = _lasso(40, 8, seed)
    seen = (_path(method, f, 300, 1 / f.smooth) - best).square().sum(-1)
    return largest(seen[1:], (1 - f.strength / f.smooth) ** upto(300, 1) * seen[0] + 1e-24)


@claim(
    "extrapolate", FISTA, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=of_chain(_blunt),
    subject=of_chain(_fast), seeds=4,
)  # fmt: skip
def accelerated_proximal_gradients(method: Any, seed: int) -> float:
    """FISTA with the rate 1/L has F(x_t) - inf F ≤ 2L ‖x_0 - x*‖² / (t+1)².

    Lasso with 10 rows in 16 dimensions, the largest ratio over 500 steps; x_t is the point behind the one where the
    gradient is taken, found by the proximal step from the latter.
    """
    f, best = _lasso(10, 16, seed)
    y = _path(method, f, 500, 1 / f.smooth)[:-1]
    x = _soft(y - f.gradient(y) / f.smooth, WEIGHT / f.smooth)
    return largest(
        _whole(f, x) - _whole(f, best), 2 * f.smooth * best.square().sum() / (upto(500, 1) + 1) ** 2
    )


def _plain(lr: float) -> Chain:
    return chain(descend(lr), extrapolate())


@claim(
    "extrapolate", FISTA, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 1.0),
    subject=of_chain(_plain), seeds=1,
)  # fmt: skip
def acceleration_of_the_hardest_functions(method: Any, seed: int) -> float:
    """Without a kink the same bound, f(x_t) - inf f ≤ 2L ‖x_0 - x*‖² / (t+1)², holds on Nesterov's worst functions,
    where gradient descent violates it.

    The largest ratio over 8k steps for k = 41, 81, 161 and 321 coordinates.
    """
    worst = 0.0
    for steps in (20, 40, 80, 160):
        p = worst_smooth(2 * steps + 1, steps)
        assert p.minimizer is not None and p.minimum is not None
        gaps, far = [], p.minimizer.square().sum()
        for y in wander(method, slope_of_worst, p.start, 8 * len(p.start), lr=1.0):
            gaps.append(p.loss(y - slope_of_worst(y)) - p.minimum)
        worst = max(worst, largest(torch.stack(gaps[:-1]), 2 * far / (upto(len(gaps) - 1, 1) + 1) ** 2))
    return worst


def slope_of_worst(x: Tensor) -> Tensor:
    """Of Nesterov's worst function in as many coordinates as there are, L = 1."""
    g = 0.5 * x
    g[1:] -= 0.25 * x[:-1]
    g[:-1] -= 0.25 * x[1:]
    g[0] -= 0.25
    return g


def _stochastic(method: Any, f: Rows, seed: int, steps: int, lr: float) -> Tensor:
    draws = single(seed + 500, len(f.a))
    start = torch.zeros(RUNS, f.a.shape[1], dtype=torch.float64)
    path = wander(method, lambda x: f.drawn(x, next(draws)), start, steps, lr=lr, weight=WEIGHT)
    return torch.stack(list(path))


def _variance(f: Rows, best: Tensor) -> float:
    """Of the gradients of rows at the minimizer of the whole, where their mean is not 0."""
    each = f.a * (f.a @ best - f.b).unsqueeze(1)
    return float((each - each.mean(0)).square().sum(1).mean())


@claim(
    "prox_l1", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=of_chain(_hasty),
    subject=of_chain(_proximal), seeds=3,
)  # fmt: skip
def stochastic_proximal_gradients_on_convex_functions(method: Any, seed: int) -> float:
    """Proximal steps along gradients of single L-smooth functions with γ < 1/4L: the average of points has E F(x̄) - inf
    F ≤ (‖x_0 - x*‖² + 2γ(F(x_0) - inf F)) / 2γ(1 - 4γL)T + 2γσ²/(1 - 4γL), σ² the variance of gradients at the
    minimizer.

    Lasso with 10 rows in 16 dimensions, γ = 1/40L, averages of 1 … 500 points, 64 runs; the wrong method has 100 times
    the rate.
    """
    f, best = _lasso(10, 16, seed)
    gamma, steps = 1 / (40 * f.row_smooth), 500
    points = _stochastic(method, f, seed, steps, gamma)[:-1]
    t, lowest = upto(steps, 1), _whole(f, best)
    mean = points.cumsum(0) / t[:, None, None]
    slack = 1 - 4 * gamma * f.row_smooth
    first = best.square().sum() + 2 * gamma * (_whole(f, torch.zeros_like(best)) - lowest)
    bound = first / (2 * gamma * slack * t) + 2 * gamma * _variance(f, best) / slack
    return largest(_whole(f, mean).mean(1) - lowest, bound)


@claim(
    "prox_l1", HANDBOOK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=of_chain(_slow),
    subject=of_chain(_proximal), seeds=3,
)  # fmt: skip
def stochastic_proximal_gradients_under_strong_convexity(method: Any, seed: int) -> float:
    """If the mean of L-smooth functions is μ-strongly convex, proximal steps along gradients of single ones with γ ≤
    1/2L have E‖x_t - x*‖² ≤ (1 - γμ)^t ‖x_0 - x*‖² + 2γσ²/μ.

    Lasso with 40 rows in 4 dimensions, γ = 1/2L, the largest ratio over 300 steps, 64 runs; the wrong method is twenty
    times slower.
    """
    f, best = _lasso(40, 4, seed)
    gamma = 1 / (2 * f.row_smooth)
    seen = distances(_stochastic(method, f, seed, 300, gamma), best)[1:]
    noise = 2 * gamma * _variance(f, best) / f.strength
    return largest(seen, (1 - gamma * f.strength) ** upto(300, 1) * best.square().sum() + noise)
