"""Methods taken from mechanics: Gravity's bounded step, and Nesterov's flow integrated half implicitly."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from ..._registry import get
from ..claim import at_least, at_most, between, claim
from .identities import noise
from .rows import Rows, classes, single
from .stochastic import draws, run
from .tuned_digits import SCALE, best, best_of
from .wrong import instead, told

GRAVITY = "Gravity Optimizer: a Kinematic Approach on Optimization in Deep Learning"
NAG_GS = "NAG-GS: Semi-Implicit, Accelerated and Robust Stochastic Optimizer"


@claim(
    "Gravity",
    GRAVITY,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD"),
    seeds=3,
)
def gravity_takes_bounded_steps_whatever_the_gradient(method: Any, seed: int) -> float:
    """A gradient moves no weight by more than η / (2 max|g|), which is what ζ = g / (1 + (g max|g|)²) comes to where
    g = 1/max|g|: the steeper, the less.

    The largest ratio of the step and η/2 times the average of 1/max|g| with the weights of V, over 100 steps on
    gradients of sizes 1e-3 to 1e3; α = 0.
    """
    draw, bound, worst = noise(seed, 20), 0.0, 0.0
    size = lambda t: 10.0 ** (3 * math.sin(t))  # noqa: E731
    points = run(
        method,
        torch.zeros(20, dtype=torch.float64),
        lambda t, x: size(t) * draw(t, x),
        100,
        lr=0.1,
        alpha=0.0,
    )
    for t in range(100):
        hat = (0.9 * (t + 1) + 1) / (t + 3)
        bound = hat * bound + (1 - hat) * 0.05 / float((size(t) * draw(t, points[0])).abs().max())
        worst = max(worst, float((points[t + 1] - points[t]).abs().max()) / bound)
    return worst


def _arrival(velocity: list[float], share: float = 0.9) -> float:
    return float(next(t for t, v in enumerate(velocity, 1) if v >= share))


@claim(
    "Gravity",
    GRAVITY,
    kind="theorem",
    predicts=between(6.0, 10.0),
    tolerance=0.0,
    wrong=told("Gravity", beta=0.999),
    seeds=1,
)
def gravitys_average_arrives_before_a_moving_average(method: Any, seed: int) -> float:
    """With β̂ = (βt + 1)/(t + 2) the velocity is not held back in the first steps, as an average at β = 0.9 is, which
    needs 22 steps to nine tenths of a constant slope.

    The steps that V needs to nine tenths, from the moves on a gradient of 0.1. (Expected: Π β̂ ≤ 0.1 between steps 6
    and 10.)
    """
    points = run(
        method,
        torch.zeros(1, dtype=torch.float64),
        lambda t, x: torch.full_like(x, 0.1),
        60,
        lr=1.0,
        alpha=0.0,
    )
    limit = 0.1 / (1 + 0.01**2)
    velocity = [float(a - b) / limit for a, b in itertools.pairwise(points)]
    return _arrival([*velocity, 1.0])


@claim(
    "Gravity",
    GRAVITY,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.05,
    wrong=told("Gravity", lr=1e-3),
    seeds=6,
    cost="full",
    scale=SCALE,
)
def gravity_generalizes_as_well_as_adam_and_rmsprop(method: Any, seed: int) -> float:
    """Gravity reaches the validation results of Adam and of RMSProp and, with many classes, better ones. (Here 10.)

    Its loss on new digits over the lower of theirs; α = 0.01, β = 0.9.
    """
    return best(method, seed, (0.4, 1.6, 6.4)) / best_of(("Adam", "RMSProp"), seed)


SPECTRUM = 10 ** torch.linspace(0, -3, 12, dtype=torch.float64)


@claim(
    "NAGGS",
    NAG_GS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=5e-3,
    wrong=instead("SGD", momentum=0.5),
    seeds=3,
)
def naggs_contracts_by_the_best_rate_on_quadratics(method: Any, seed: int) -> float:
    """On a quadratic with curvatures from μ to L, with γ = μ the rate α = 2/(√κ - 1) is the best that NAG-GS has, and
    contracts by (√κ - 1)/(√κ + 1), κ = L/μ, but for a factor that grows as t.

    The mean factor a step from step 800 to 1,600 over that; κ = 1,000, 12 curvatures.
    """
    root = math.sqrt(1000)
    start = draws(seed)(12)
    points = run(
        method, start, lambda _, x: SPECTRUM * x, 400, lr=2 / (root - 1), mu=float(SPECTRUM[-1]),
        gamma=float(SPECTRUM[-1]),
    )  # fmt: skip
    factor = float(points[400].norm() / points[200].norm()) ** (1 / 200)
    return factor / 2 ** (1 / 200) / ((root - 1) / (root + 1))


@claim(
    "NAGGS",
    NAG_GS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=instead("SGD", momentum=0.9),
    seeds=3,
)
def naggs_is_stable_at_any_rate_once_mu_is_large(method: Any, seed: int) -> float:
    """With μ = γ at least as large as every curvature the iteration's spectral radius is at most 1 at any rate α.

    The largest size of weights after 200 steps over that of the start, for α = 0.1, 1, 10, 100, 1,000.
    """
    start = draws(seed)(12)
    return max(
        float(run(method, start, lambda _, x: SPECTRUM * x, 200, lr=rate, mu=1.0, gamma=1.0)[-1].norm())
        / float(start.norm())
        for rate in (0.1, 1.0, 10.0, 100.0, 1000.0)
    )


def _mean_loss(method: Any, f: Rows, seed: int, **hyper: Any) -> float:
    """Of logistic regression after 100 batches of 10, 16 runs."""
    rows = single(seed + 500, len(f.a), 10, 16)
    start = torch.zeros(16, f.a.shape[1], dtype=torch.float64)
    loss = float(f.loss(run(method, start, lambda _, x: f.drawn(x, next(rows)), 100, **hyper)[-1]).mean())
    return loss if math.isfinite(loss) else math.inf


@claim(
    "NAGGS",
    NAG_GS,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.9),
    seeds=3,
    scale="logistic regression, 60 rows of 5, batches of 10, 100 steps, 16 runs; 12 rates from 2^-10 to 2^12",
)
def naggs_bears_a_wider_range_of_rates_than_momentum(method: Any, seed: int) -> float:
    """Semi-implicit steps are stable at larger rates than explicit momentum's: rates of a wider range will do.

    The decades of rates at which the mean loss falls at least half way to the minimum, less those of momentum SGD
    (0.9); μ = γ = 1.
    """
    f = classes(seed, ridge=0.01)
    level = (float(f.loss(torch.zeros(5, dtype=torch.float64))) + f.minimum) / 2
    grid = [4.0**k for k in range(-5, 7)]

    def decades(who: Any, **hyper: Any) -> float:
        return sum(_mean_loss(who, f, seed, lr=rate, **hyper) <= level for rate in grid) * math.log10(4)

    return decades(method) - decades(get("SGD", "optimizer").target, momentum=0.9)
