"""How methods move: large steps, stability, reshuffling, batches."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, between, claim, equal
from ..problem import descend
from ..problems import quadratic
from ..problems.scalar import rosenbrock
from .identities import walk
from .papers import HANDBOOK, LBFGS, PERCEPTRON, STABILITY
from .wrong import instead, scaled, told

SHUFFLING = "Random Reshuffling: Simple Analysis with Vast Improvements"


@claim(
    "SGD",
    PERCEPTRON,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=scaled("SGD", 1e-7),
    seeds=3,
)
def large_steps_of_logistic_regression_are_the_perceptrons(method: Any, seed: int) -> float:
    """As the rate grows, gradient descent on the logistic loss of separable data becomes the batch perceptron.

    The largest difference between w/η at η = 1e7 and the batch perceptron's weights over 25 steps, from a random
    start of size η.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 5, generator=random, dtype=torch.float64)
    x = x * torch.sign(x @ torch.randn(5, generator=random, dtype=torch.float64)).unsqueeze(1)
    rate, start = 1e7, torch.randn(5, generator=random, dtype=torch.float64)

    def slope(_: int, w: Tensor) -> Tensor:
        return -(x * torch.sigmoid(-(x @ w)).unsqueeze(1)).mean(0)

    points = walk(method, rate * start, slope, 25, lr=rate)
    v, worst = start, 0.0
    for w in points:
        worst = max(worst, float((w / rate - v).abs().max()))
        v = v + (x * (x @ v < 0).double().unsqueeze(1)).mean(0)
    return worst


@claim(
    "SGD",
    STABILITY,
    kind="theorem",
    predicts=between(1.98, 2.02),
    tolerance=0.0,
    wrong=told("SGD", momentum=0.5),
    seeds=2,
)
def gradient_descent_is_stable_up_to_two_over_the_rate(method: Any, seed: int) -> float:
    """On a quadratic gradient descent leaves a minimum as soon as the sharpness λ exceeds 2/η.

    λη where 150 steps begin to grow, by bisection to 0.1 %.
    """
    low, high = 1.0, 4.0
    while high - low > 0.005:
        middle = (low + high) / 2
        p = quadratic((middle, 0.3), seed)
        trace = descend(p, method, 150, lr=1.0)
        low, high = (
            (low, middle)
            if trace.losses[-1] > 2 * trace.losses[0] or not math.isfinite(trace.losses[-1])
            else (middle, high)
        )
    return (low + high) / 2


@claim(
    "SGD",
    SHUFFLING,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=told("SGD", momentum=0.9, nesterov=True),
    seeds=3,
    scale="least squares, 40 rows of 10 numbers, 20 epochs of the rate 0.01, 32 runs",
)
def reshuffling_ends_nearer_than_drawing_with_replacement(method: Any, seed: int) -> float:
    """At a small constant rate, passing over the rows in a new random order every epoch ends nearer to the minimum than
    drawing rows with replacement.

    The ratio of mean squared distances over the last 10 epochs.
    """
    return _floor(method, seed, True, lr=0.01, epochs=20) / _floor(_plain(), seed, False, lr=0.01, epochs=20)


def _plain() -> Any:
    from ..._registry import get

    return get("SGD", "optimizer").target


def _floor(
    method: Any, seed: int, reshuffled: bool, batch: int = 1, lr: float = 0.02, epochs: int = 10
) -> float:
    """Mean squared distance from the minimum of least squares, 40 rows of 10 numbers, over the last half of the
    steps of 32 runs side by side, which start there."""
    random, runs = torch.Generator().manual_seed(seed), 32
    a = torch.randn(40, 10, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    b = a.sum(1) + torch.randn(40, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    best = torch.linalg.lstsq(a, b).solution
    w = torch.nn.Parameter(best.repeat(runs, 1))
    opt, total = method([w], lr=lr), 0.0
    for epoch in range(epochs * batch):
        if reshuffled:
            rows = torch.stack([torch.randperm(40, generator=random) for _ in range(runs)])
        else:
            rows = torch.randint(40, (runs, 40), generator=random)
        for k in range(0, 40, batch):
            x, y = a[rows[:, k : k + batch]], b[rows[:, k : k + batch]]
            off = (x @ w.detach().unsqueeze(-1)).squeeze(-1) - y
            w.grad = (x * off.unsqueeze(-1)).mean(1)
            opt.step()
            total += float((w.detach() - best).square().sum(1).mean()) if 2 * epoch >= epochs * batch else 0.0
    return total / (20 * epochs)


@claim(
    "SGD",
    HANDBOOK,
    kind="empirical",
    predicts=between(3.0, 5.0),
    tolerance=0.5,
    wrong=scaled("SGD", 1e-12),
    seeds=5,
    scale="least squares, 40 rows of 10 numbers, 400 steps of the rate 0.02, 32 runs",
)
def four_times_the_batch_brings_a_quarter_of_the_noise(method: Any, seed: int) -> float:
    """The squared distance at which constant-rate SGD hovers is inversely proportional to the batch.

    The ratio for batches 1 and 4 drawn with replacement, mean over the last 200 steps.
    """
    small, large = (_floor(method, seed, False, batch) for batch in (1, 4))
    return small / large if large > 1e-12 else 1.0


@claim(
    "LBFGS",
    LBFGS,
    kind="empirical",
    predicts=at_most(60.0),
    tolerance=0.0,
    wrong=instead("ArmijoSGD"),
    seeds=3,
    scale="Rosenbrock's function from points around (-1.2, 1)",
)
def lbfgs_solves_rosenbrock_in_few_steps(method: Any, seed: int) -> float:
    """Limited-memory BFGS with a strong-Wolfe search brings Rosenbrock's function below 1e-8 within a few dozen steps.

    Steps until then, at most 200.
    """
    p = rosenbrock((-1.2 + 0.1 * math.sin(seed), 1.0 + 0.1 * math.cos(seed)))
    losses = descend(p, method, 200, lr=1.0).losses
    return float(next((t for t, f in enumerate(losses) if f < 1e-8), 200))


@claim(
    "ArmijoSGD",
    "Minimization of functions having Lipschitz continuous first partial derivatives",
    kind="theorem",
    predicts=at_least(0.0),
    tolerance=1e-12,
    wrong=instead("SGD"),
    seeds=3,
)
def armijo_steps_lower_the_loss_enough(method: Any, seed: int) -> float:
    """Every accepted step has f(w) - f(w - ηg) ≥ c η ‖g‖².

    The least of f(w) - f(w⁺) - c ‖w⁺ - w‖ ‖g‖ over 60 exact steps on Rosenbrock's function, c = 0.1.
    """
    p = rosenbrock((-1.2 + 0.1 * math.sin(seed), 1.0))
    trace = descend(p, method, 60, lr=10.0)
    found = [
        (f - g) - 0.1 * float((y - x).norm() * p.gradient(x).norm())
        for f, g, x, y in zip(trace.losses, trace.losses[1:], trace.points, trace.points[1:], strict=False)
    ]
    return min(x if math.isfinite(x) else -math.inf for x in found)
