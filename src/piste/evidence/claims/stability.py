"""Which minima gradient methods can stay at, and where the sharpness of a network ends."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from .papers import NOISY_STABILITY, STABILITY
from .paths import follow, normal
from .wrong import scaled, told

ADAPTIVE_EDGE = "Adaptive Gradient Methods at the Edge of Stability"


def _second_moments(method: Any, rows: Tensor, lr: float) -> Tensor:
    """What one step on a row drawn at random makes of E[w wᵀ], for the losses ½ ⟨row, w⟩², as a matrix on its
    entries."""
    size = rows.shape[1]

    def one(row: Tensor) -> Tensor:
        start = torch.eye(size, dtype=torch.float64)
        (moved,) = follow(method, [start], lambda p: [(p[0] @ row).outer(row)], 1, lr=lr)
        return torch.kron(moved, moved)

    return torch.stack([one(row) for row in rows]).mean(0)


@claim(
    "SGD",
    NOISY_STABILITY,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-3,
    wrong=scaled("SGD", 0.25),
    seeds=3,
)
def sgd_stays_only_at_minima_of_small_trace(method: Any, seed: int) -> float:
    """A minimum that fits every example is linearly stable for SGD with batches of one only if tr H ≤ 2/η, H the
    Hessian.

    η tr H / 2 at the largest rate for which the exact map of the second moments of w has no eigenvalue beyond 1, by
    bisection, for linear regression on 12 Gaussian rows of 4 numbers.
    """
    rows = normal(seed, 12, 4)
    trace = float(rows.square().sum(1).mean())
    low, high = 0.1 / trace, 20.0 / trace
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        largest = float(torch.linalg.eigvals(_second_moments(method, rows, middle)).abs().max())
        low, high = (low, middle) if largest > 1 else (middle, high)
    return low * trace / 2


@claim(
    "SGD",
    NOISY_STABILITY,
    kind="theorem",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 0.5),
    seeds=3,
)
def sgd_leaves_minima_at_which_gradient_descent_stays(method: Any, seed: int) -> float:
    """The same rate lets SGD leave a minimum with tr H > 2/η and gradient descent stay there, which asks for no more
    than λmax ≤ 2/η.

    The smaller of the growth of E‖w‖² in 8 steps of SGD, exactly, and the shrinking of ‖w‖² in 8 steps of gradient
    descent, for η tr H = 2.4; rows uniform on a sphere in six dimensions, so that η λmax is near 0.6.
    """
    rows = torch.nn.functional.normalize(normal(seed, 40, 6))
    start = normal(seed + 1, 6)
    moments = (
        torch.linalg.matrix_power(_second_moments(method, rows, 2.4).mT, 8) @ start.outer(start).flatten()
    )
    noisy = float(moments.view(6, 6).trace() / start.square().sum())
    (end,) = follow(method, [start], lambda p: [rows.mT @ (rows @ p[0]) / 40], 8, lr=2.4)
    return min(noisy, float(start.square().sum() / end.square().sum()))


POINTS = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64)
GOALS = 8 * POINTS**4 - 8 * POINTS**2 + 1  # Chebyshev's polynomial of degree 4
WIDTH = 20


def _net(parts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden values, their slopes and what is left to explain, of a tanh network with one number in and out."""
    inner, shift, outer = parts
    h = torch.tanh(POINTS.unsqueeze(1) * inner + shift)
    return h, 1 - h.square(), h @ outer - GOALS


def _slopes(parts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    h, d, off = _net(parts)
    back = off.unsqueeze(1) * d * parts[2] / len(POINTS)
    return POINTS @ back, back.sum(0), off @ h / len(POINTS)


def _hessian(parts: list[Tensor]) -> Tensor:
    """The second derivative of the mean of ½ off², in the order of the parts."""
    h, d, off = _net(parts)
    outer, n = parts[2], len(POINTS)
    x = POINTS.unsqueeze(1)
    jacobian = torch.cat([x * d * outer, d * outer, h], 1)
    bent = -2 * off.unsqueeze(1) * h * d * outer
    turn = off.unsqueeze(1) * d
    own = [(x * x * bent).sum(0), (x * bent).sum(0), bent.sum(0), (x * turn).sum(0), turn.sum(0)]
    xx, xb, bb, xo, bo = (torch.diag(v) for v in own)
    blocks = [[xx, xb, xo], [xb, bb, bo], [xo, bo, 0 * bo]]
    return (jacobian.mT @ jacobian + torch.cat([torch.cat(row, 1) for row in blocks])) / n


def _start(seed: int) -> list[Tensor]:
    return [normal(seed, WIDTH), normal(seed + 1, WIDTH), normal(seed + 2, WIDTH) / WIDTH**0.5]


@claim(
    "SGD",
    STABILITY,
    kind="empirical",
    predicts=equal(2.0),
    tolerance=0.15,
    wrong=scaled("SGD", 0.02),
    seeds=3,
    scale="a tanh network of 20 hidden units on 12 points of Chebyshev's fourth polynomial, 2,000 steps",
)
def sharpness_of_a_network_rises_to_two_over_the_rate_and_stays(method: Any, seed: int) -> float:
    """The sharpness of a network under gradient descent rises until it is 2/η and then hovers there, while the loss
    goes on falling.

    η λmax of the full Hessian, the mean of every 50th of the last 800 steps, for η = 1.5 / the sharpness at the start.
    """
    start, seen = _start(seed), list[float]()
    lr = 1.5 / _largest(_hessian(start))

    def look(t: int, parts: list[Tensor]) -> None:
        if t >= 1200 and t % 50 == 0:
            seen.append(lr * _largest(_hessian(parts)))

    follow(method, start, _slopes, 2000, look, lr=lr)
    return sum(seen) / len(seen)


def _largest(matrix: Tensor) -> float:
    return float(torch.linalg.eigvalsh(matrix)[-1]) if bool(matrix.isfinite().all()) else torch.inf


@claim(
    "Adam",
    ADAPTIVE_EDGE,
    kind="empirical",
    predicts=equal(38.0),
    tolerance=3.8,
    wrong=told("Adam", betas=(0.5, 0.99)),
    seeds=6,
    scale="a tanh network of 20 hidden units on 12 points of Chebyshev's fourth polynomial, 1,000 steps",
)
def preconditioned_sharpness_under_adam_hovers_at_38_over_the_rate(method: Any, seed: int) -> float:
    """Under full-batch Adam with β₁ = 0.9 the largest eigenvalue of the preconditioned Hessian P⁻¹H rises to
    (2 + 2β₁) / ((1 - β₁) η) = 38/η and hovers there.

    η λmax(P⁻¹H), P = diag √v̂, the mean of every 35th of the last 700 steps; η = 0.04, β₂ = 0.99.
    """
    lr, beta, seen, count = 0.04, 0.99, list[float](), 0
    squares = torch.zeros(3 * WIDTH, dtype=torch.float64)

    def slopes(parts: list[Tensor]) -> tuple[Tensor, ...]:
        nonlocal squares, count
        found = _slopes(parts)
        squares, count = beta * squares + (1 - beta) * torch.cat(found).square(), count + 1
        return found

    def look(t: int, parts: list[Tensor]) -> None:
        if t >= 300 and t % 35 == 0:
            scale = ((squares / (1 - beta**count)).sqrt() + 1e-8).rsqrt()
            seen.append(lr * _largest(scale.unsqueeze(1) * _hessian(parts) * scale))

    follow(method, _start(seed), slopes, 1000, look, lr=lr, betas=(0.9, beta))
    return sum(seen) / len(seen)
