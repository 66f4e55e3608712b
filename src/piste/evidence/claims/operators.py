"""Operators learned from pairs of functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from ..problem import descend
from ..problems.operators import FINE, evenly, fresh_error, functions, operator_network
from .wrong import scaled

DEEPONET = (
    "DeepONet: Learning nonlinear operators for identifying differential equations based on the universal "
    "approximation theorem of operators"
)
Operator = Callable[[Tensor], Tensor]
Points = Callable[[int], Tensor]


def antiderivative(u: Tensor) -> Tensor:
    """∫₀ˣ u, by trapezoids."""
    parts = (u[:, 1:] + u[:, :-1]) / (2 * (FINE - 1))
    return torch.cat([torch.zeros(len(u), 1, dtype=u.dtype), parts.cumsum(1)], 1)


def trunk(seed: int, width: int = 40) -> Tensor:
    """Random features of the place, tanh(wy + b): a row for each point of (0, 1)."""
    random = torch.Generator().manual_seed(seed)
    w, b = torch.randn(2, width, generator=random, dtype=torch.float64)
    return torch.tanh(5 * (torch.linspace(0, 1, FINE, dtype=torch.float64)[:, None] * w + b * w.abs()))


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
    """The mean squared error on fresh functions of ``operator_network``, trained on so many."""
    p = operator_network(count, seed)
    end = descend(p, method, steps, lr=0.01, schedule=lambda t: 1 - t / steps).end
    return float(fresh_error(p.parts(end), seed))


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
