"""Which rows or coordinates a step looks at: reshuffling, variance reduction, coordinates at random.

An expectation is taken over runs beside each other on one instance, so that every instance (a seed) counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from .dynamics import SHUFFLING
from .papers import BUBECK
from .rows import RUNS, Rows, classes, distances, largest, reshuffled, single, squares, upto, wander
from .wrong import scaled

COORDINATES = "On the Complexity Analysis of Randomized Block-Coordinate Descent Methods"


def _epochs(method: Any, f: Rows, seed: int, epochs: int, lr: float) -> Tensor:
    """The points [epochs + 1, runs, d] between passes over the rows in new random orders, from 0."""
    count = len(f.a)
    draws = reshuffled(seed + 500, count)
    start = torch.zeros(RUNS, f.a.shape[1], dtype=torch.float64)
    path = wander(method, lambda x: f.drawn(x, next(draws)), start, epochs * count, lr=lr)
    return torch.stack([x for t, x in enumerate(path) if t % count == 0])


@claim(
    "SGD",
    SHUFFLING,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 0.05),
    seeds=3,
)
def reshuffling_under_strong_convexity(method: Any, seed: int) -> float:
    """Passing over n μ-strongly convex, L-smooth functions in a new random order every epoch, at γ ≤ 1/L, has after T
    epochs E‖x_T - x*‖² ≤ (1 - γμ)^{nT} ‖x_0 - x*‖² + γ²Lnσ²/2μ: noise of the order γ², not γ.

    Here the paper's σ²_shuffle is replaced by its own upper bound γLnσ²/4. Least squares with a ridge, γ = 0.02/L, the
    largest ratio over 30 epochs, 64 runs; the wrong method is twenty times slower.
    """
    f = squares(seed, rows=20, size=4, ridge=1.0)
    gamma, t = 0.02 / f.row_smooth, upto(30, 1)
    noise = gamma**2 * f.row_smooth * len(f.a) * f.spread / (2 * f.ridge)
    bound = (1 - gamma * f.ridge) ** (len(f.a) * t) * f.best.square().sum() + noise
    return largest(distances(_epochs(method, f, seed, 30, gamma), f.best)[1:], bound)


@claim(
    "SGD",
    SHUFFLING,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 2000.0),
    seeds=3,
)
def reshuffling_of_convex_functions(method: Any, seed: int) -> float:
    """With γ ≤ 1/√2nL the average of the points at the ends of T epochs has E f(x̂) - inf f ≤ ‖x_0 - x*‖² / 2γnT +
    γ²Lnσ²/4.

    Logistic regression without a ridge, the largest ratio for 1 … 15 epochs of 40 rows, 64 runs.
    """
    f = classes(seed, rows=40)
    n, t = len(f.a), upto(15, 1)
    gamma = 1 / (math.sqrt(2) * n * f.row_smooth)
    mean = _epochs(method, f, seed, 15, gamma)[1:].cumsum(0) / t[:, None, None]
    bound = f.best.square().sum() / (2 * gamma * n * t) + gamma**2 * f.row_smooth * n * f.spread / 4
    return largest(f.loss(mean).mean(1) - f.minimum, bound)


@claim(
    "SGD", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 0.01), seeds=2
)
def variance_reduction_converges_linearly(method: Any, seed: int) -> float:
    """SVRG, whose gradients are ∇fᵢ(x) - ∇fᵢ(y) + ∇f(y), with the rate 1/10L and y moved to the average of each 20 L/μ
    points, has E f(y_s) - inf f ≤ 0.9^s (f(y_0) - inf f).

    Least squares with noise, the largest ratio over 3 moves of y, 64 runs; the method makes the steps.
    """
    f = squares(seed, size=4, ridge=3.0)
    count = math.ceil(20 * f.row_smooth / f.strength)
    draws = single(seed + 500, len(f.a))
    y, gaps = torch.zeros(RUNS, 4, dtype=torch.float64), []

    def corrected(x: Tensor, y: Tensor, whole: Tensor) -> Tensor:
        rows = next(draws)
        return f.drawn(x, rows) - f.drawn(y, rows) + whole

    for _ in range(4):
        gaps.append((f.loss(y) - f.minimum).mean())
        held, whole = y, f.gradient(y)
        path = wander(
            method, lambda x, y=held, g=whole: corrected(x, y, g), y, count - 1, lr=0.1 / f.row_smooth
        )
        y = torch.stack(list(path)).mean(0)
    return largest(torch.stack(gaps)[1:], 0.9 ** upto(3, 1) * gaps[0])


@claim(
    "SGD", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 30.0), seeds=3
)
def noisy_gradients_of_smooth_functions(method: Any, seed: int) -> float:
    """With unbiased gradients of variance σ², an L-smooth convex f and the rate 1/(L + σ√t/2/R), R² = ‖x_0 - x*‖²/2,
    the average of the points after 1 … t steps has E f(x̄) - inf f ≤ Rσ√(2/t) + LR²/t.

    Least squares with Gaussian noise on the whole gradient, σ = 0.1, 1 and 10, t = 100, 64 runs.
    """
    f, t, worst = squares(seed), 100, 0.0
    radius, size = math.sqrt(float(f.best.square().sum()) / 2), f.a.shape[1]
    random = torch.Generator().manual_seed(seed + 500)
    for deviation in (0.1, 1.0, 10.0):

        def noisy(x: Tensor, each: float = deviation / math.sqrt(size)) -> Tensor:
            return f.gradient(x) + each * torch.randn(x.shape, generator=random, dtype=x.dtype)

        rate = 1 / (f.smooth + deviation * math.sqrt(t / 2) / radius)
        start = torch.zeros(RUNS, size, dtype=torch.float64)
        mean = torch.stack(list(wander(method, noisy, start, t, lr=rate))[1:]).mean(0)
        bound = radius * deviation * math.sqrt(2 / t) + f.smooth * radius**2 / t
        worst = max(worst, float((f.loss(mean).mean() - f.minimum) / bound))
    return worst


def _coordinates(f: Rows, seed: int, chances: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Of each run's gradient one coordinate drawn with these chances, over its smoothness βᵢ; and the βᵢ."""
    beta = f.a.square().mean(0) + f.ridge
    random = torch.Generator().manual_seed(seed + 500)

    def gradient(x: Tensor) -> Tensor:
        i = torch.multinomial(chances, len(x), replacement=True, generator=random)
        return f.gradient(x) / beta * torch.nn.functional.one_hot(i, len(beta))

    return gradient, beta


@claim(
    "SGD",
    COORDINATES,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 2.2),
    seeds=3,
)
def random_coordinates_of_convex_functions(method: Any, seed: int) -> float:
    """Moving one of n coordinates at random by -∂ᵢf/βᵢ, βᵢ its smoothness, has after k moves E f(x_k) - inf f ≤ n/(n+k)
    (Σβᵢ(x_0 - x*)ᵢ²/2 + f(x_0) - inf f).

    Least squares of 10 rows in 15 dimensions (convex, not strongly), the largest ratio over 400 moves, 64 runs; the
    method makes the moves.
    """
    f = squares(seed, rows=10, size=15)
    gradient, beta = _coordinates(f, seed, torch.ones(15))
    start = torch.zeros(RUNS, 15, dtype=torch.float64)
    gaps = f.loss(torch.stack(list(wander(method, gradient, start, 400, lr=1.0)))).mean(1) - f.minimum
    k = upto(400, 1)
    return largest(gaps[1:], 15 / (15 + k) * ((beta * f.best.square()).sum() / 2 + gaps[0]))


@claim(
    "SGD", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SGD", 0.05), seeds=3
)
def random_coordinates_under_strong_convexity(method: Any, seed: int) -> float:
    """Drawing coordinates with chances in proportion to βᵢ^γ has E f(x_t) - inf f ≤ (1 - 1/κ)^t (f(x_0) - inf f), κ =
    Σβᵢ^γ/α and α the strong convexity in the norm Σβᵢ^(1-γ) xᵢ².

    Least squares, γ = 0 (all alike) and 1 (the steep more often), the largest ratio over 300 moves, 64 runs; the wrong
    method is twenty times slower.
    """
    f, worst, t = squares(seed, ridge=0.2), 0.0, upto(300, 1)
    bent = f.a.mT @ f.a / len(f.a) + f.ridge * torch.eye(8, dtype=torch.float64)
    for gamma in (0.0, 1.0):
        beta = bent.diagonal()
        gradient, _ = _coordinates(f, seed, beta**gamma)
        root = beta ** ((gamma - 1) / 2)
        alpha = torch.linalg.eigvalsh(root[:, None] * bent * root)[0]
        start = torch.zeros(RUNS, 8, dtype=torch.float64)
        gaps = f.loss(torch.stack(list(wander(method, gradient, start, 300, lr=1.0)))).mean(1) - f.minimum
        worst = max(worst, largest(gaps[1:], (1 - alpha / (beta**gamma).sum()) ** t * gaps[0] + 1e-13))
    return worst
