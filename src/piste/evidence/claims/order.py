"""LaProp and RAdam: when one normalizes, and from when on."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._registry import get
from ..claim import at_most, between, claim, equal
from ..tuning import tuned
from .digit_runs import loss, run
from .given_gradients import best_loss, falling, normal, steps_of
from .wrong import instead, told

LAPROP = "LaProp: Separating Momentum and Adaptivity in Adam"
RADAM = "On the Variance of the Adaptive Learning Rate and Beyond"


@claim("LaProp", LAPROP, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=told("Adam"), seeds=3)
def laprops_steps_are_bounded_whatever_its_averages(method: Any, seed: int) -> float:
    """No step of LaProp is longer than η/√(1-β₂), whatever β₁ and β₂; Adam's have no such bound where β₁² > β₂.

    The largest |Δ| √(1-β₂) / η over 40 steps with one gradient of N(0, 1) and none (1e-9) after it, β₁ = 0.9 and β₂ =
    0, 0.3, 0.6, 0.9.
    """
    grads, worst = 1e-9 * normal(seed, 40, 20), 0.0
    grads[3] = normal(seed + 1, 20)
    for beta2 in (0.0, 0.3, 0.6, 0.9):
        moved = steps_of(method, grads, lr=0.01, betas=(0.9, beta2), eps=1e-15).abs().max()
        worst = max(worst, float(moved) * math.sqrt(1 - beta2))
    return worst


@claim(
    "LaProp",
    LAPROP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("LaProp", betas=(0.9, 0.9)),
    seeds=2,
)
def laprop_reaches_momentum_of_signs(method: Any, seed: int) -> float:
    """LaProp interpolates between signed and adaptive gradients: with β₂ = 0 it is the average of signs.

    The largest difference from the average of the signs so far, in units of η, over 40 steps of N(0, I), β₁ = 0.9.
    """
    grads = normal(seed, 40, 20)
    moved = -steps_of(method, grads, **{"lr": 0.01, "betas": (0.9, 0.0)})
    m, worst = torch.zeros(20, dtype=torch.float64), 0.0
    for t, (g, u) in enumerate(zip(grads, moved, strict=True), start=1):
        m = 0.9 * m + 0.1 * g.sign()
        worst = max(worst, float((u - m / (1 - 0.9**t)).abs().max()))
    return worst


@claim(
    "LaProp",
    LAPROP,
    kind="empirical",
    predicts=at_most(0.7),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=3,
    cost="full",
    scale="Rosenbrock's function from (-1.2, 1) with noise of deviation 0.1 in the gradient, 128 runs of 300 steps, "
    "β = (0.9, 0.5), rates tuned on grids of a factor of 2",
)
def laprop_stands_noise_with_a_short_memory(method: Any, seed: int) -> float:
    """On Rosenbrock's function with noise LaProp does well with averages of unlike length, with which Adam becomes
    unstable.

    The median of last losses over Adam's.
    """

    def last(make: Any, rate: float) -> float:
        noise = 0.1 * normal(seed, 300, 2, 128)
        start = torch.tensor([[-1.2], [1.0]], dtype=torch.float64).repeat(1, 128)
        p = torch.nn.Parameter(start)
        opt = make([p], lr=rate, betas=(0.9, 0.5))
        for n in noise:
            x, y = p.detach()
            p.grad = torch.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]) + n
            opt.step()
        x, y = p.detach()
        return float(((1 - x).square() + 100 * (y - x * x).square()).median())

    scores = [
        tuned(lambda rate, make=make: last(make, rate), (0.01, 0.02, 0.04)).score
        for make in (method, get("Adam", "optimizer").target)
    ]
    return scores[0] / scores[1]


@claim("RAdam", RADAM, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=told("Adam"), seeds=2)
def radam_begins_with_momentum(method: Any, seed: int) -> float:
    """While the length of the second moment's average is at most five RAdam takes momentum's steps, not divided at all.

    The largest difference from the debiased average of gradients over the first five steps of N(0, I), in units of η.
    """
    grads = normal(seed, 5, 20)
    moved, m, worst = -steps_of(method, grads, lr=0.01), torch.zeros(20, dtype=torch.float64), 0.0
    for t, (g, u) in enumerate(zip(grads, moved, strict=True), start=1):
        m = 0.9 * m + 0.1 * g
        worst = max(worst, float((u - m / (1 - 0.9**t)).abs().max()))
    return worst


@claim(
    "RAdam",
    RADAM,
    kind="theorem",
    predicts=between(0.5, 2.0),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=3,
    in_mean=True,
)
def rectified_rates_vary_as_much_at_all_times(method: Any, seed: int) -> float:
    """The variance of Adam's effective rate is largest when few gradients have been seen; rectified, it is the same at
    all times.

    The variance of Δ/g over 8,192 coordinates with gradients of N(0, 1) at step 10 over that at step 200, β₁ = 0, β₂ =
    0.99.
    """
    grads = normal(seed, 200, 8192)
    rates = steps_of(method, grads, lr=0.01, betas=(0.0, 0.99), eps=1e-15) / grads
    return float(rates[9].var() / rates[199].var())


@claim(
    "RAdam",
    RADAM,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.05,
    wrong=instead("Lion"),
    seeds=8,
    cost="full",
    scale="digits of 8 × 8 pixels, 1,000 known and 797 new, ReLU networks of 32 units, 300 steps on batches of 50, "
    "rates that fall to 0, tuned on grids of a factor of 2, β₂ = 0.99, a warm-up over 60 steps for Adam",
)
def radam_needs_no_warmup(method: Any, seed: int) -> float:
    """RAdam without a warm-up does as well as Adam with one that was tuned.

    The logarithm of the loss on new digits less that of Adam's with the warm-up. (Five hundredths count as the same.)
    """

    def warmed(rate: float) -> float:
        down = falling(300)
        (net,) = run(
            seed,
            lambda t: min(1.0, (t + 1) / 60) * down(t),
            rate,
            (300,),
            optimizer="Adam",
            betas=(0.9, 0.99),
        )
        return loss(net)

    hyper: dict[str, Any] = {"betas": (0.9, 0.99)}  # Lion's default as well
    ours = best_loss(method.__name__, seed, **hyper)
    return math.log(ours / tuned(warmed, (0.015, 0.03, 0.06)).score)
