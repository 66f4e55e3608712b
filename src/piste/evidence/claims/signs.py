"""Signs of gradients, and votes on them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim
from .stochastic import Slope, draws, run
from .wrong import scaled

SIGN = "signSGD: Compressed Optimisation for Non-Convex Problems"


def signs(params: Any, lr: float, **_: Any) -> Any:
    """Steps of one size against the gradient's signs: Lion without its momentum."""
    return get("Lion", "optimizer").target(params, lr=lr, betas=(0.0, 0.0))


def uphill(params: Any, lr: float) -> Any:
    return torch.optim.SGD(params, lr=lr, maximize=True)


@claim(
    "signSGD",
    SIGN,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("Lion", 1e-3),
    subject=signs,
    in_mean=True,
    seeds=4,
)
def signs_reach_small_gradients_in_the_sum_norm(method: Any, seed: int) -> float:
    """With η = 1/√(‖L‖₁K) and batches of K, K steps of signSGD have (mean E‖∇f‖₁)² ≤ [√‖L‖₁ (f(x₀) - inf f + ½) +
    2‖σ‖₁]²/K.

    The left side over the right: f = ½ Σ Lᵢxᵢ², Lᵢ = 1, ½, ¼, … in 8 dimensions, σ = 0.1 in each, K = 400, 32 runs.
    """
    normal, steps = draws(seed), 400
    curve = 0.5 ** torch.arange(8, dtype=torch.float64)
    start, total = 0.5 * normal(8).sign(), float(curve.sum())
    slope: Slope = lambda _, x: curve * x + 0.1 / math.sqrt(steps) * normal(32, 8)  # noqa: E731
    points = run(method, start.repeat(32, 1), slope, steps, lr=1 / math.sqrt(total * steps))
    seen = float((curve * points[:-1]).abs().sum(2).mean())
    first = 0.5 * float((curve * start.square()).sum())
    return seen**2 * steps / (math.sqrt(total) * (first + 0.5) + 2 * 0.8) ** 2


@claim(
    "signSGD",
    SIGN,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.05,
    wrong=uphill,
    subject=signs,
    in_mean=True,
    seeds=3,
)
def signs_err_as_rarely_as_gausss_inequality_says(method: Any, seed: int) -> float:
    """Where noise is unimodal and symmetric the sign of a coordinate whose gradient is S deviations large is wrong with
    a probability of at most 2/9S² for S > 2/√3 and of at most ½ - S/2√3 else.

    The largest ratio over S = 0.1, 0.5, 1, 1.5, 2 of the share of wrong signs among 65,536 of Gaussian and of uniform
    noise.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    for size in (0.1, 0.5, 1.0, 1.5, 2.0):
        bound = 2 / (9 * size**2) if size > 2 / math.sqrt(3) else 0.5 - size / (2 * math.sqrt(3))
        flat = math.sqrt(12) * (torch.rand(65536, generator=random, dtype=torch.float64) - 0.5)
        normal = torch.randn(65536, generator=random, dtype=torch.float64)
        for noise in (normal, flat):
            moved = run(
                method, torch.zeros(65536, dtype=torch.float64), lambda _, x, g=size + noise: g, 1, lr=1.0
            )
            worst = max(worst, float((moved[-1] > 0).double().mean()) / bound)
    return worst


@claim(
    "signSGD with majority vote",
    SIGN,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=uphill,
    subject=signs,
    in_mean=True,
    seeds=3,
)
def votes_err_more_rarely_the_more_voters_there_are(method: Any, seed: int) -> float:
    """Where noise is unimodal and symmetric a vote of M signs on a coordinate whose gradient is S deviations large
    fails with a probability of at most 1/(√M S).

    The largest ratio of the share of wrong steps among 4,096 to that, over M = 1, 5, 25, 125 and S = 0.2, 0.5, 1.
    """
    normal, worst = draws(seed), 0.0
    for voters in (1, 5, 25, 125):
        noise = normal(voters, 4096)
        for size in (0.2, 0.5, 1.0):
            vote = (size + noise).sign().sum(0)
            moved = run(method, torch.zeros(4096, dtype=torch.float64), lambda _, x, v=vote: v, 1, lr=1.0)[-1]
            worst = max(worst, float((moved > 0).double().mean()) * math.sqrt(voters) * size)
    return worst


@claim(
    "signSGD with majority vote",
    SIGN,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("Lion", 1e-3),
    subject=signs,
    in_mean=True,
    seeds=3,
)
def votes_average_the_noise_away(method: Any, seed: int) -> float:
    """With M voters signSGD's bound holds with ‖σ‖₁/√M in the place of ‖σ‖₁, where noise is unimodal and symmetric.

    (mean E‖∇f‖₁)² over [√‖L‖₁ (f(x₀) - inf f + ½) + 2‖σ‖₁/√M]²/K: f = ½ Σ Lᵢxᵢ², Lᵢ = 1, ½, ¼, … in 8 dimensions, σ =
    1 in each, M = 64, batches of K = 256, K steps, 8 runs.
    """
    normal, steps, voters = draws(seed), 256, 64
    curve = 0.5 ** torch.arange(8, dtype=torch.float64)
    start, total = 2 * normal(8).sign(), float(curve.sum())

    def slope(_: int, x: Tensor) -> Tensor:
        return (curve * x + normal(voters, 8, 8) / math.sqrt(steps)).sign().sum(0)

    points = run(method, start.repeat(8, 1), slope, steps, lr=1 / math.sqrt(total * steps))
    seen = float((curve * points[:-1]).abs().sum(2).mean())
    first = 0.5 * float((curve * start.square()).sum())
    return seen**2 * steps / (math.sqrt(total) * (first + 0.5) + 2 * 8 / math.sqrt(voters)) ** 2
