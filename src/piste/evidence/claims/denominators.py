"""Yogi, AdaBelief and AdaMomentum: what a second moment sees, and how fast it forgets."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._registry import get
from ..claim import at_least, at_most, claim, equal
from .adaptive import stream
from .given_gradients import best_loss, normal, steps_of
from .wrong import instead, told

YOGI = "Adaptive Methods for Nonconvex Optimization"
BELIEF = "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients"
TWOFOLD = "Rethinking Adam: A Twofold Exponential Moving Average Approach"
DIGITS = (
    "digits of 8 × 8 pixels, 1,000 known and 797 new, ReLU networks of 32 units, 300 steps on batches of 50 at rates "
    "that fall to 0, tuned on grids of a factor of 2"
)


@claim("Yogi", YOGI, kind="theorem", predicts=at_most(1.01), tolerance=0.0, wrong=told("Adam"), seeds=2)
def yogis_effective_rate_grows_slowly(method: Any, seed: int) -> float:
    """Yogi controls how effective rates increase: where gradients become small Adam's η/√v grows geometrically and
    Yogi's by what the small squares add up to.

    The growth of the step on gradients of one small size, from step 100 to step 300 after 400 gradients 1,000 times as
    large; β₁ = 0, β₂ = 0.99, ε = 1e-8. (Adam's grows by 0.99⁻¹⁰⁰ = 2.7 over 200 such steps.)
    """
    size = normal(seed, 10).abs() + 0.1
    grads = torch.cat([1000 * size.expand(400, -1), size.expand(300, -1)])
    moved = steps_of(method, grads, lr=0.01, betas=(0.0, 0.99), eps=1e-8).abs()
    return float((moved[699] / moved[499]).max())


@claim("Yogi", YOGI, kind="theorem", predicts=at_most(-0.1), tolerance=0.0, wrong=told("Adam"), seeds=1)
def yogi_drifts_to_the_best_point_of_a_stream(method: Any, seed: int) -> float:
    """On losses 1010 x once in 101 steps and -10 x else, where Adam forgets what is large and rare and goes to the
    worst end, Yogi goes to the best one.

    Where it is after 40 such rounds, in units of the rate; β₁ = 0.9, β₂ = 0.99.
    """
    return stream(method, lr=0.001, betas=(0.9, 0.99))


@claim(
    "Yogi",
    YOGI,
    kind="theorem",
    predicts=at_most(0.1),
    tolerance=0.0,
    wrong=instead("Adam", betas=(0.0, 0.999)),
    in_mean=True,
    seeds=3,
)
def larger_batches_bring_yogi_closer(method: Any, seed: int) -> float:
    """At a constant rate Yogi comes to gradients of a size that the noise decides: E‖∇f‖² falls in proportion to the
    batch.

    The mean of ‖∇f‖² over steps 75 to 150 with batches of 16 over that with batches of 1, on f = ½ ‖x‖² with
    noise of N(0, I), η = 0.03, ε = 1e-3, β₁ = 0, v from 1, 256 runs of one coordinate from 0. (1/16 for
    noise alone; Adam, which divides by the noise, has a quarter.)
    """

    def level(batch: int) -> float:
        noise = normal(seed, 150, 256) / math.sqrt(batch)
        x = torch.nn.Parameter(torch.zeros(256, dtype=torch.float64))
        opt, total = method([x], **{"lr": 0.03, "betas": (0.0, 0.999), "initial_accumulator_value": 1.0}), 0.0
        for t, n in enumerate(noise):
            total += float(x.detach().square().mean()) * (t >= 75)
            x.grad = x.detach() + n
            opt.step()
        return total

    return level(16) / level(1)


@claim(
    "AdaBelief",
    BELIEF,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.1,
    wrong=told("Adam"),
    seeds=3,
    in_mean=True,
)
def steps_are_long_where_gradients_come_as_foreseen(method: Any, seed: int) -> float:
    """AdaBelief divides by the deviation of gradients from their average: where they are large and hardly change it
    takes long steps, where Adam takes steps of η.

    The root mean square of steps 550 to 600 for gradients 1 + 0.02 N(0, 1), over η / (0.02 · 0.923), the deviation from
    an average with β₁ = 0.9 being √(2β₁²/(1+β₁)) = 0.923 of the noise's; β₂ = 0.98, 200 coordinates.
    """
    grads = 1 + 0.02 * normal(seed, 600, 200)
    moved = steps_of(method, grads, lr=0.01, betas=(0.9, 0.98), eps=1e-16)[550:]
    return float(moved.square().mean().sqrt()) * 0.02 * math.sqrt(2 * 0.81 / 1.9)


@claim(
    "AdaBelief",
    BELIEF,
    kind="theorem",
    predicts=at_most(1.2),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=3,
    in_mean=True,
)
def in_noise_adabelief_takes_adams_steps(method: Any, seed: int) -> float:
    """Where gradients are noise without a mean AdaBelief takes steps as small as Adam's.

    The root mean square of its steps 300 to 400 over that of Adam's, for gradients 100 N(0, 1), β = (0.9, 0.99), 200
    coordinates. (1/0.923 = 1.08, the deviation from the average being less than the noise's own.)
    """
    grads, hyper = 100 * normal(seed, 400, 200), dict(lr=0.01, betas=(0.9, 0.99))
    ours, adam = (steps_of(m, grads, **hyper)[300:] for m in (method, get("Adam", "optimizer").target))
    return float((ours.square().mean() / adam.square().mean()).sqrt())


@claim(
    "AdaBelief",
    BELIEF,
    kind="empirical",
    predicts=at_most(-0.05),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=8,
    cost="full",
    scale=DIGITS,
)
def adabelief_generalizes_better_than_adam(method: Any, seed: int) -> float:
    """AdaBelief converges as fast as adaptive methods and generalizes as well as SGD, better than Adam.

    The logarithm of the loss on new digits less that of Adam's; ε = 1e-8, the authors' for image classifiers. (Five
    hundredths are the least that counts as better.)
    """
    hyper: dict[str, Any] = {"eps": 1e-8}  # Adam's default as well
    return math.log(best_loss(method.__name__, seed, **hyper) / best_loss("Adam", seed))


@claim(
    "AdaMomentum",
    TWOFOLD,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.1,
    wrong=told("Adam"),
    seeds=3,
    in_mean=True,
)
def scaled_by_its_own_size_momentum_makes_steps_of_one_size(method: Any, seed: int) -> float:
    """The second moment of the momentum is what its steps are scaled by: they have the size η, in noise, too, where
    Adam's shrink to √((1-β₁)/(1+β₁)) η.

    The root mean square of steps 300 to 400 over η for gradients of N(0, 1), β = (0.9, 0.99), 200 coordinates.
    """
    moved = steps_of(method, normal(seed, 400, 200), lr=0.01, betas=(0.9, 0.99))[300:]
    return float(moved.square().mean().sqrt())


@claim(
    "AdaMomentum",
    TWOFOLD,
    kind="empirical",
    predicts=at_least(0.1),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=3,
    scale="512 runs of one number, f = x⁴ - 2x² + 0.3x with noise of deviation 2 in the gradient, 300 steps, η = 0.05",
)
def adamomentum_leaves_the_higher_minimum(method: Any, seed: int) -> float:
    """AdaMomentum is less prone than Adam to be trapped in a local minimum early in training.

    The share of runs started in the higher minimum (near 0.96) that end left of 0, less the share of Adam's, at one
    rate for both, as in the paper.
    """

    def left(make: Any) -> float:
        noise, x = (
            2 * normal(seed, 300, 512),
            torch.nn.Parameter(torch.full((512,), 0.96, dtype=torch.float64)),
        )
        opt = make([x], lr=0.05)
        for n in noise:
            here = x.detach()
            x.grad = 4 * here**3 - 4 * here + 0.3 + n
            opt.step()
        return float((x.detach() < 0).double().mean())

    return left(method) - left(get("Adam", "optimizer").target)


@claim(
    "AdaMomentum",
    TWOFOLD,
    kind="empirical",
    predicts=at_most(-0.05),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=8,
    cost="full",
    scale=DIGITS,
)
def adamomentum_generalizes_better_than_adam(method: Any, seed: int) -> float:
    """With the second moment of the momentum training is fast and generalizes better than Adam.

    The logarithm of the loss on new digits less that of Adam's. (Five hundredths are the least that counts as better.)
    """
    return math.log(best_loss(method.__name__, seed) / best_loss("Adam", seed))
