"""Paths over the loss: how long they are, and to which minima they lead."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from ..problem import descend
from ..problems.nets import valley
from ..problems.quadratics import rotation
from .kernels import _kernel, _said, _slopes, _sphere, _wide
from .papers import NOISY_STABILITY
from .paths import follow, normal
from .wrong import instead, scaled, told

LOJASIEWICZ = "From Optimization Dynamics to Generalization Bounds via Łojasiewicz Gradient Inequality"
SHARPNESS = "How Does Sharpness-Aware Minimization Minimize Sharpness?"


@claim(
    "SGD",
    LOJASIEWICZ,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-3,
    wrong=told("SGD", momentum=0.98),
    seeds=3,
)
def gradient_descent_takes_a_short_path_through_least_squares(method: Any, seed: int) -> float:
    """Where ‖∇f‖ ≥ c (f - inf f)^½, gradient flow travels no farther than 2 √(f₀ - inf f) / c, and f - inf f falls at
    least as fast as e^{-c²t}; for least squares c² is twice the smallest eigenvalue that is not 0.

    The larger of the length of the path over its bound, and of the excess loss over its own, in 400 steps of the rate
    0.1 / λmax on 4 equations in 7 unknowns that start, but for a tenth, along the flattest direction.
    """
    left, right = rotation(4, seed), rotation(7, seed + 1)[:, :4]
    a = left * torch.tensor([1.0, 0.9, 0.8, 0.6], dtype=torch.float64) @ right.mT
    flat = right[:, 3] + 0.1 * normal(seed + 2, 7)
    squared, length, worst, last = 2 * 0.36, 0.0, 0.0, flat

    def look(t: int, p: list[Tensor]) -> None:
        nonlocal length, worst, last
        length, last = length + float((p[0] - last).norm()), p[0].clone()
        loss, first = (float((a @ w).square().sum()) / 2 for w in (p[0], flat))
        decay = loss / first * math.exp(squared * 0.1 * t) if t else 0.0
        worst = max(worst, length * math.sqrt(squared / first) / 2, decay)

    follow(method, [flat], lambda p: [a.mT @ (a @ p[0])], 400, look, lr=0.1)
    return worst


@claim(
    "SGD",
    LOJASIEWICZ,
    kind="empirical",
    predicts=at_least(0.5),
    tolerance=0.0,
    wrong=told("SGD", weight_decay=2.0),
    seeds=4,
    in_mean=False,
    scale="tanh networks of one hidden layer of 512 units, 6 inputs on a sphere, 100 steps of the rate 0.5 / λmax",
)
def wide_networks_meet_the_inequality_with_exponent_one_half(method: Any, seed: int) -> float:
    """On the way to zero loss a wide network of two layers satisfies ‖∇f‖ ≥ c f^½ with c² in proportion to the smallest
    eigenvalue of its kernel at the start.

    The least of ‖∇f‖² / 2f over the path of gradient descent, as a share of that eigenvalue, Gaussian targets.
    """
    x, y, p, least = _sphere(seed, 6, 3), normal(seed + 1, 6, 1), _wide(seed + 2, 512, 3, 1), math.inf
    values, slopes = torch.linalg.eigvalsh(_kernel(x, x, p)), _slopes(x, y)

    def look(_: int, here: list[Tensor]) -> None:
        nonlocal least
        g = torch.cat([s.flatten() for s in slopes(here)])
        least = min(least, float(g.square().sum() / (_said(x, here) - y).square().sum() / values[0]))

    follow(method, p, slopes, 100, look, lr=0.5 / float(values[-1]))
    return least


@claim(
    "SAM",
    SHARPNESS,
    kind="empirical",
    predicts=at_most(2.1),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
    scale="a valley of two numbers, ρ = 0.3, 100 steps of the rate 0.1",
)
def sharpness_aware_steps_drift_to_the_flattest_minimum(method: Any, seed: int) -> float:
    """Near a curve of minima sharpness-aware minimization of the full loss drifts along it to where the largest
    eigenvalue of the Hessian is smallest.

    λmax = x² + y² of the minimum of ½ (xy - 1)² with the x² - y² of the end, from where it is above 4; the smallest of
    all minima is 2.
    """
    x, y = descend(valley(2.0 + 0.1 * math.sin(seed)), method, 100, lr=0.1, rho=0.3).end.tolist()
    return math.hypot(2, x**2 - y**2)


@claim(
    "SGD",
    NOISY_STABILITY,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 0.3),
    seeds=4,
    in_mean=False,
    scale="w = u ⊙ v of 8 numbers that fit 6 rows, 2,000 steps with batches of one",
)
def sgd_moves_on_to_a_minimum_of_small_trace(method: Any, seed: int) -> float:
    """From a solution that fits every example but has tr H > 2/η, at which gradient descent would stay, SGD goes on to
    one with tr H ≤ 2/η.

    η tr H / 2 at the end, for a diagonal linear network that starts near such a solution with η tr H = 3 and η λmax
    below 2, u = 3 in every place.
    """
    x, w = torch.nn.functional.normalize(normal(seed, 6, 8)), normal(seed + 1, 8) / 2
    y, start, random = x @ w, [torch.full_like(w, 3.0), w / 3], torch.Generator().manual_seed(seed)

    def trace(p: list[Tensor]) -> float:
        return float((x.square() @ (p[0].square() + p[1].square())).mean())

    def slopes(p: list[Tensor]) -> tuple[Tensor, Tensor]:
        i = int(torch.randint(6, (), generator=random))
        g = (x[i] @ (p[0] * p[1]) - y[i]) * x[i]
        return g * p[1], g * p[0]

    lr = 3 / trace(start)
    near = [part + 0.01 * normal(seed + k, 8) for k, part in enumerate(start, 2)]
    return lr * trace(follow(method, near, slopes, 2000, lr=lr)) / 2
