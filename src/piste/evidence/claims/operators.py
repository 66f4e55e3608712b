"""Operators learned from pairs of functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from .wrong import scaled

DEEPONET = (
    "DeepONet: Learning nonlinear operators for identifying differential equations based on the universal "
    "approximation theorem of operators"
)
FINE = 121  # points of (0, 1), where functions are known
Operator = Callable[[Tensor], Tensor]
Points = Callable[[int], Tensor]


@lru_cache(4)
def _root(length: float) -> Tensor:
    x = torch.linspace(0, 1, FINE, dtype=torch.float64)
    kernel = (-(x[:, None] - x).square() / (2 * length**2)).exp()
    return torch.linalg.cholesky(kernel + 1e-10 * torch.eye(FINE, dtype=torch.float64))


def functions(count: int, seed: int, length: float = 0.2) -> Tensor:
    """Draws of a Gaussian process on (0, 1) whose kernel is a Gaussian of this length: one in each row."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, FINE, generator=random, dtype=torch.float64) @ _root(length).mT


def antiderivative(u: Tensor) -> Tensor:
    """∫₀ˣ u, by trapezoids."""
    parts = (u[:, 1:] + u[:, :-1]) / (2 * (FINE - 1))
    return torch.cat([torch.zeros(len(u), 1, dtype=u.dtype), parts.cumsum(1)], 1)


def damped(u: Tensor) -> Tensor:
    """s of s' = u - s³, s(0) = 0, by the midpoint rule: not linear in u."""
    s, found, step = torch.zeros(len(u), dtype=u.dtype), [], 1 / (FINE - 1)
    for i in range(FINE):
        found.append(s)
        if i + 1 < FINE:
            half = s + step / 2 * (u[:, i] - s**3)
            s = s + step * ((u[:, i] + u[:, i + 1]) / 2 - half**3)
    return torch.stack(found, 1)


def trunk(seed: int, width: int = 40) -> Tensor:
    """Random features of the place, tanh(wy + b): a row for each point of (0, 1)."""
    random = torch.Generator().manual_seed(seed)
    w, b = torch.randn(2, width, generator=random, dtype=torch.float64)
    return torch.tanh(5 * (torch.linspace(0, 1, FINE, dtype=torch.float64)[:, None] * w + b * w.abs()))


def evenly(count: int) -> Tensor:
    return torch.linspace(0, FINE - 1, count).round().long()


def in_a_corner(count: int) -> Tensor:
    """A wrong choice of sensors: all within the first tenth."""
    return torch.linspace(0, FINE // 10, count).round().long()


def at_the_middle(count: int) -> Tensor:
    """A wrong choice of sensors: all in one place."""
    return torch.full((count,), FINE // 2)


def linear_error(sensors: Tensor, count: int, seed: int, length: float) -> float:
    """The mean squared error on fresh functions of Σ_ij B_ij u(x_j) t_i(y), fitted to the antiderivatives of ``count``
    functions by least squares of least norm: a DeepONet whose branch is linear and whose trunk is random."""
    basis = trunk(seed)
    shown, fresh = functions(count, seed, length), functions(100, seed + 500, length)
    onto = antiderivative(shown) @ torch.linalg.pinv(basis, rtol=1e-9).mT
    branch = torch.linalg.pinv(shown[:, sensors], rtol=1e-9) @ onto
    guess = fresh[:, sensors] @ branch @ basis.mT
    return float((guess - antiderivative(fresh)).square().mean())


@claim(
    "DeepONet",
    DEEPONET,
    subject=evenly,
    kind="empirical",
    predicts=at_most(-2.0),
    tolerance=0.0,
    wrong=in_a_corner,
    seeds=4,
    scale="antiderivatives of Gaussian processes of length 0.2 on (0, 1); linear branch, random trunk; 400 functions",
)
def more_sensors_lower_an_operators_error_at_least_quadratically(method: Points, seed: int) -> float:
    """The error of an operator learned through m sensors falls at least like 1/m² while sensors are what it lacks.

    The exponent of m between 3 and 6 sensors in the root mean squared error on fresh functions.
    """
    few, many = (linear_error(method(m), 400, seed, 0.2) for m in (3, 6))
    return 0.5 * math.log(many / few) / math.log(2)


@claim(
    "DeepONet",
    DEEPONET,
    subject=evenly,
    kind="empirical",
    predicts=at_most(-0.5),
    tolerance=0.0,
    wrong=at_the_middle,
    seeds=4,
    scale="antiderivatives of Gaussian processes of length 0.2 on (0, 1); linear branch, random trunk; 11 sensors",
)
def more_functions_lower_a_linear_operators_error(method: Points, seed: int) -> float:
    """The error falls with the number of training functions at least at half order, and faster at first.

    The exponent of N between 4 and 32 functions in the mean squared error on fresh ones.
    """
    few, many = (linear_error(method(11), count, seed, 0.2) for count in (4, 32))
    return math.log(many / few) / math.log(32 / 4)


def trained_error(method: Any, count: int, seed: int, steps: int) -> float:
    """The mean squared error on fresh functions of a DeepONet, a branch of 21 sensors and a trunk each with one hidden
    layer of 40 tanh, 20 products, that is trained on ``damped`` of ``count`` functions at 13 places, full batches."""
    random = torch.Generator().manual_seed(seed)
    shown, fresh = functions(count, seed), functions(200, seed + 500)
    sensors, places = evenly(21), evenly(13)
    y = torch.linspace(0, 1, FINE, dtype=torch.float64)[places, None]
    shapes = ((21, 40), (40,), (40, 20), (1, 40), (40,), (40, 20))
    params = [
        torch.nn.Parameter(
            torch.randn(s, generator=random, dtype=torch.float64) / (s[0] if len(s) > 1 else 1) ** 0.5
        )
        for s in shapes
    ]

    def guess(u: Tensor) -> Tensor:
        a, b, c, d, e, f = params
        return torch.tanh(u @ a + b) @ c @ (torch.tanh(4 * (y @ d + e)) @ f).mT / 20**0.5

    seen, wanted = shown[:, sensors], damped(shown)[:, places]
    opt = method(params, lr=0.01)
    rates = [group["lr"] for group in opt.param_groups]
    for step in range(steps):
        for group, rate in zip(opt.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - step / steps)
        opt.zero_grad()
        (guess(seen) - wanted).square().mean().backward()
        opt.step()
    with torch.no_grad():
        return float((guess(fresh[:, sensors]) - damped(fresh)[:, places]).square().mean())


@claim(
    "Adam",
    DEEPONET,
    kind="empirical",
    predicts=at_most(-0.5),
    tolerance=0.0,
    wrong=scaled("Adam", 1e-6),
    seeds=6,
    cost="full",
    scale="s' = u - s³ for Gaussian processes u of length 0.2; branch and trunk with 40 hidden units each, 25 and 200 "
    "functions, 1,000 full-batch steps",
)
def more_functions_lower_a_deeponets_error_at_half_order_at_least(method: Any, seed: int) -> float:
    """The error on fresh functions falls polynomially with the number of training functions, of half order or higher.

    The exponent of N between 25 and 200 functions in the mean squared error on fresh ones.
    """
    few, many = (trained_error(method, count, seed, 1000) for count in (25, 200))
    return math.log(many / few) / math.log(200 / 25)
