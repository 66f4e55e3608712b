"""Momentum under noise: what it gains, and what it pays."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from .tails import slope

BALL = "Accelerated Convergence of Stochastic Heavy Ball Method under Anisotropic Gradient Noise"
RISK = "Risk Bounds of Accelerated SGD for Overparameterized Linear Regression"
INTERPOLATED = "Faster Convergence of Stochastic Accelerated Gradient Descent under Interpolation"
Decay = Callable[[int, int], float]
RATES = 2.0 ** torch.arange(-9, 2, dtype=torch.float64)


def step_decay(t: int, steps: int) -> float:
    """Halved at the end of each of 10 equal parts."""
    return 0.5 ** (10 * t // steps)


def expected(
    h: Tensor, square: Tensor, noise: float, momentum: float, steps: int, rate: Tensor, decay: Decay
) -> Tensor:  # fmt: skip
    """E f - inf f after heavy-ball steps v ← βv + g, x ← x - γv on ½ Σ h x², the noise of each coordinate having the
    variance ``noise``² h (anisotropic: as steep as f), exactly: second moments of (x, v), for every rate."""
    xx, xv, vv = (torch.zeros(len(rate), len(h), dtype=torch.float64) for _ in range(3))
    xx = xx + square
    for t in range(steps):
        r = rate[:, None] * decay(t, steps)
        # v' = βv + hx + noise, x' = x - r v'
        new_vv = momentum**2 * vv + 2 * momentum * h * xv + h * h * xx + noise**2 * h
        cross = momentum * xv + h * xx  # E x v'
        xx, xv, vv = xx - 2 * r * cross + r * r * new_vv, cross - r * new_vv, new_vv
    return 0.5 * (h * xx).sum(1)


def _best(h: Tensor, square: Tensor, noise: float, momentum: float, steps: int) -> float:
    found = expected(h, square, noise, momentum, steps, RATES, step_decay)
    return float(found.nan_to_num(nan=torch.inf).min())


def heavy_ball(root: float) -> float:
    """The momentum (1 - 1/√κ)²."""
    return (1 - 1 / root) ** 2


def no_momentum(root: float) -> float:
    return 0.0


@claim(
    "heavy ball with step decay",
    BALL,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=no_momentum,
    subject=heavy_ball,
    seeds=4,
    scale="quadratics of 20 numbers, condition number 1,000, noise of deviation 0.01 √h, 400 steps",
)
def heavy_balls_pay_at_large_batches(method: Callable[[float], float], seed: int) -> float:
    """Under anisotropic noise, with step decay, heavy-ball momentum shrinks the part of the start at the pace of √κ and
    keeps the part of the noise near its optimum; so it pays where noise is small, at large batches.

    E f - inf f at the end, exactly, over that of SGD with the same decay, both at the best of 11 rates.
    """
    h = torch.logspace(0, -3, 20, dtype=torch.float64)
    square = torch.randn(20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).square()
    return _best(h, square, 0.01, method(1000**0.5), 400) / _best(h, square, 0.01, 0.0, 400)


@claim(
    "heavy ball with step decay",
    BALL,
    kind="empirical",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=lambda root: 0.999,
    subject=heavy_ball,
    seeds=4,
    scale="quadratics of 20 numbers, condition number 1,000, noise of deviation √h, 400 steps",
)
def heavy_balls_lose_little_where_noise_rules(method: Callable[[float], float], seed: int) -> float:
    """With step decay momentum's part of the noise stays near the optimal σ²d/T, within factors that are logarithmic.

    E f - inf f at the end, exactly, over that of SGD with the same decay, both at the best of 11 rates.
    """
    h = torch.logspace(0, -3, 20, dtype=torch.float64)
    square = torch.randn(20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).square()
    return _best(h, square, 1.0, method(1000**0.5), 400) / _best(h, square, 1.0, 0.0, 400)


def accelerated(h: Tensor, start: Tensor, steps: int, draws: Tensor) -> Tensor:
    """ASGD of the paper (Jain et al.'s form) on least squares with rows ``draws`` [steps, runs, d] and noise:
    y = αw + (1 - α)v;  w ← y - δg;  v ← βy + (1 - β)v - γg, the tail of size 5 counted as small."""
    rows, noise = draws[..., :-1], draws[..., -1]
    psi, head = 4.0, 5
    delta = 1 / (2 * psi * float(h.sum()))
    gamma = max(delta, 1 / (2 * psi * float(h[head:].sum())))
    beta = delta / (psi * head * gamma)
    alpha = 1 / (1 + beta)
    w = v = start.expand(rows.shape[1], -1)
    for a, e in zip(rows, noise, strict=True):
        y = alpha * w + (1 - alpha) * v
        g = a * ((a * y).sum(1) - e).unsqueeze(1)
        w, v = y - delta * g, beta * y + (1 - beta) * v - gamma * g
    return w


def plain(h: Tensor, start: Tensor, steps: int, draws: Tensor) -> Tensor:
    """SGD with the same δ."""
    rows, noise = draws[..., :-1], draws[..., -1]
    delta = 1 / (8 * float(h.sum()))
    w = start.expand(rows.shape[1], -1)
    for a, e in zip(rows, noise, strict=True):
        w = w - delta * a * ((a * w).sum(1) - e).unsqueeze(1)
    return w


def _draws(h: Tensor, steps: int, runs: int, noise: float, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(steps, runs, len(h), generator=random, dtype=torch.float64) * h.sqrt()
    return torch.cat([rows, noise * torch.randn(steps, runs, 1, generator=random, dtype=torch.float64)], 2)


SPECTRUM = torch.arange(1, 31, dtype=torch.float64) ** -2.0
Solver = Callable[[Tensor, Tensor, int, Tensor], Tensor]


@claim(
    "accelerated SGD",
    RISK,
    kind="empirical",
    predicts=at_most(-1.0),
    tolerance=0.0,
    wrong=plain,
    subject=accelerated,
    seeds=4,
    scale="linear regression in 30 dimensions, spectrum k^-2, 400 rows, 200 runs",
)
def accelerated_sgd_forgets_its_start_sooner_along_small_eigenvalues(method: Solver, seed: int) -> float:
    """The bias of accelerated SGD decays exponentially faster than SGD's in the subspace of small eigenvalues.

    Without noise of labels, from a start along the eigenvalues 6 to 12: log of the mean excess risk over SGD's.
    """
    start = torch.zeros(30, dtype=torch.float64)
    start[5:12] = 1.0
    draws = _draws(SPECTRUM, 400, 200, 0.0, seed)
    ours, theirs = (
        (SPECTRUM * f(SPECTRUM, start, 400, draws).mean(0).square()).sum() for f in (method, plain)
    )
    return math.log(float(ours / theirs))


@claim(
    "accelerated SGD",
    RISK,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=lambda h, start, steps, draws: 0.9 * plain(h, start, steps, draws),
    subject=accelerated,
    seeds=4,
    scale="linear regression in 30 dimensions, spectrum k^-2, 400 rows, 200 runs",
)
def accelerated_sgd_always_has_more_variance(method: Solver, seed: int) -> float:
    """The variance error of accelerated SGD is always larger than that of SGD.

    The mean excess risk of runs from the minimum, labels with N(0, 1), over SGD's.
    """
    start, draws = torch.zeros(30, dtype=torch.float64), _draws(SPECTRUM, 400, 200, 1.0, seed)
    ours, theirs = (
        (SPECTRUM * f(SPECTRUM, start, 400, draws).square()).sum(1).mean() for f in (method, plain)
    )
    return float(ours / theirs)


MOMENTA = 1 - torch.logspace(-4, 0, 25, dtype=torch.float64)
GROWTH = (4, 8, 16, 32)


def nesterovs() -> Tensor:
    return MOMENTA


def none_at_all() -> Tensor:
    return torch.zeros(1, dtype=torch.float64)


def steps_to_solve(growth: int, kappa: float, momenta: Tensor) -> float:
    """Until E f falls to 1e-4 of the start, the fewest over rates and momenta, of y = x + m (x - x_last), x = y - γg(y)
    on ½ Σ h x² where g is ρ ∂ⱼf eⱼ of a random coordinate of ρ: second moments of (x, x_last), exactly."""
    h = torch.logspace(0, -math.log10(kappa), growth, dtype=torch.float64)
    rate = (torch.tensor([0.25, 0.5, 1.0, 1.5], dtype=torch.float64) / growth).view(-1, 1, 1)
    m = momenta.view(1, -1, 1)
    kept, mean = 1 - 1 / growth + (1 - rate * growth * h).square() / growth, 1 - rate * h
    xx = xl = ll = torch.ones(4, len(momenta), growth, dtype=torch.float64)
    first = 0.5 * float(h.sum())
    for t in range(1, 20 * growth * int(kappa)):
        yy = (1 + m) ** 2 * xx - 2 * m * (1 + m) * xl + m * m * ll
        yx = (1 + m) * xx - m * xl
        xx, xl, ll = kept * yy, mean * yx, xx
        if t % 10 == 0 and bool((0.5 * (h * xx).sum(-1) <= 1e-4 * first).any()):
            return float(t)
    return math.inf


@claim(
    "accelerated SGD under strong growth",
    INTERPOLATED,
    kind="empirical",
    predicts=at_most(0.6),
    tolerance=0.0,
    wrong=none_at_all,
    subject=nesterovs,
    seeds=3,
    scale="quadratics of 4 to 32 numbers, condition numbers 50 to 100, gradients of one random coordinate",
)
def acceleration_costs_the_root_of_strong_growth(method: Callable[[], Tensor], seed: int) -> float:
    """Under interpolation and strong growth, E ‖g‖² ≤ ρ ‖∇f‖², accelerated SGD needs steps in proportion to √ρ, not ρ.

    The slope of log steps in log ρ for ρ = 4 … 32, the fewest steps over 4 rates and 25 momenta, in exact expectation.
    A gradient of one coordinate of ρ has strong growth with exactly ρ; that every coordinate must be drawn some √κ
    times asks for ρ√κ steps.
    """
    kappa = (50.0, 70.0, 100.0)[seed % 3]
    return slope([float(d) for d in GROWTH], [steps_to_solve(d, kappa, method()) for d in GROWTH])
