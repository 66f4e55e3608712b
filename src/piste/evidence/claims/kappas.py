"""Lion with other convex functions: the sets that decay keeps weights in, and what is solved in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from .constrained import LION
from .stochastic import draws, run
from .wrong import told

WIDTH = 0.1
SIZES: dict[str, Callable[[Tensor], Tensor]] = {
    "sparse": lambda x: x.abs().amax(),
    "huber": lambda x: x.abs().amax(),
    "entropy": lambda x: x.abs().amax(),
    "l2": lambda x: x.norm(),
    "group": lambda x: x.norm(dim=1).amax(),
    "spectral": lambda x: torch.linalg.matrix_norm(x, 2),
}


@claim(
    "LionK",
    LION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("LionK", weight_decay=0.0),
    seeds=2,
)
def every_kappa_enters_its_own_set_geometrically(method: Any, seed: int) -> float:
    """With ∇K(0) = 0 and ∇K inside a convex set C, the distance of λx to C falls by 1 - ηλ in every step, whatever the
    gradients: the box for κ of entries, balls of rows or of the matrix, matrices of σ ≤ 1.

    The largest ratio of (size of λx - 1)₊ and (1 - ηλ)^t times that of the start, the size being the norm whose unit
    ball is C: 6 κ, 60 steps of random gradients, 6 × 4 matrices from far outside, λ = 2, η = 0.02.
    """
    normal, worst = draws(seed), 0.0
    start = 10 * normal(6, 4)
    for kappa, size in SIZES.items():
        points = run(
            method, start, lambda t, x: normal(6, 4), 60, lr=0.02, weight_decay=2.0, kappa=kappa, width=WIDTH
        )
        outside = [max(0.0, float(size(2 * x)) - 1) for x in points]
        worst = max(worst, *(far / (outside[0] * 0.96**t) for t, far in enumerate(outside)))
    return worst


def _constrained(seed: int) -> tuple[Tensor, Tensor]:
    """Curvatures, and minima at up to several times the box."""
    random = torch.Generator().manual_seed(seed)
    curve = torch.rand(10, generator=random, dtype=torch.float64) + 0.5
    return curve, 2 * torch.randn(10, generator=random, dtype=torch.float64)


def _without_width(params: Any, **hyper: Any) -> Any:
    return told("LionK", kappa="sign")(params, **hyper)


@claim(
    "LionK",
    LION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=_without_width,
    seeds=3,
)
def hubers_kappa_solves_the_composite_problem(method: Any, seed: int) -> float:
    """Lion-𝒦 minimises f(x) + K*(λx)/λ: with Huber's function f(x) + (eλ/2)‖x‖² over the box, whose minimum is
    clamp(ct / (c + eλ), ±1/λ) for f = Σ ½ c (x - t)².

    The largest distance to it after 3,000 steps of η = 0.01, over 1e-6; λ = 1, e = 0.5, 10 numbers.
    """
    curve, target = _constrained(seed)
    ends = run(
        method, torch.zeros(10, dtype=torch.float64), lambda _, x: curve * (x - target), 3000, lr=0.01,
        weight_decay=1.0, kappa="huber", width=0.5,
    )  # fmt: skip
    best = (curve * target / (curve + 0.5)).clamp(-1, 1)
    return float((ends[-1] - best).abs().max()) / 1e-6


def _energy(kappa: str, m: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """K(m) and K*(y)."""
    if kappa == "huber":
        beyond = WIDTH * (m.abs() / WIDTH - 0.5)
        return torch.where(
            m.abs() < WIDTH, m.square() / (2 * WIDTH), beyond
        ).sum(), WIDTH / 2 * y.square().sum()
    if kappa == "entropy":
        cosh = (
            torch.nn.functional.softplus(-2 * m.abs() / WIDTH)
            + m.abs() / WIDTH
            - torch.log(torch.tensor(2.0, dtype=m.dtype))
        )
        entropy = torch.special.xlogy(1 + y, 1 + y) + torch.special.xlogy(1 - y, 1 - y)
        return WIDTH * cosh.sum(), WIDTH / 2 * entropy.sum()
    return m.norm(), torch.zeros((), dtype=m.dtype)


@claim(
    "LionK",
    LION,
    kind="theorem",
    predicts=at_most(0.05),
    tolerance=0.0,
    wrong=told("LionK", weight_decay=0.0),
    seeds=2,
)
def the_lyapunov_function_falls_for_other_kappas(method: Any, seed: int) -> float:
    """Within the set H(x, m) = f(x) + K*(λx)/λ + (1 - εγ)/(1 + ελ) (K*(λx) + K(m) + λ m·x) falls along Lion-𝒦's flow,
    m being the averaged gradient, εγ = 1 - β₁ and γ = (1 - β₂)/η = 1.

    All rises of H over all falls in 1,200 steps of η = 2e-3 (a flow has none), the worst of Huber's, the entropy's and
    the Euclidean κ; a quadratic of 10 numbers whose minimum lies outside the set, λ = 1, β = (0.5, 0.998).
    """
    rate, betas, worst = 2e-3, (0.5, 0.998), 0.0
    epsilon = 1 - betas[0]
    curve, target = _constrained(seed)
    for kappa in ("huber", "entropy", "l2"):
        gradient: Callable[[int, Tensor], Tensor] = lambda _, x: curve * (x - target)  # noqa: E731
        start = 0.2 * (
            torch.rand(10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
        )
        points = run(
            method, start, gradient, 1200, lr=rate, betas=betas, weight_decay=1.0, kappa=kappa, width=WIDTH
        )
        m, seen = torch.zeros(10, dtype=torch.float64), []
        for x in points:
            k, conjugate = _energy(kappa, m, x)
            loss = 0.5 * (curve * (x - target).square()).sum()
            seen.append(float(loss + conjugate + (1 - epsilon) / (1 + epsilon) * (conjugate + k + m @ x)))
            m = betas[1] * m + (1 - betas[1]) * gradient(0, x)
        change = torch.tensor(seen, dtype=torch.float64).diff().nan_to_num(nan=torch.inf)
        worst = max(worst, float(change.clamp(min=0).sum() / -change.clamp(max=0).sum()))
    return worst
