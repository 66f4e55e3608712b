"""How methods should be compared: at the end, tuned alike, and by how often they succeed."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from ...race.interval import Interval
from ...race.success import mean_time, rate
from ..claim import at_least, claim, equal

FANTASTIC = "Fantastic Pretraining Optimizers and Where to Find Them"
ARITHMETIC = "Measuring Arithmetic Extrapolation Performance"

Look = Callable[[int], int]
RATES = 2.0 ** np.arange(-11, 3, 0.25)
DECAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda s: 1 - s,
    "cosine": lambda s: (1 + np.cos(np.pi * s)) / 2,
    "at the end": lambda s: np.minimum(1.0, 5 * (1 - s)),
    "none": np.ones_like,
}


def sgd(
    curvature: np.ndarray, noise: np.ndarray, square: np.ndarray, decay: str, steps: int, look: int
) -> np.ndarray:  # fmt: skip
    """The expected loss of SGD on ½ Σ λ x² with gradients λx + noise, after ``look`` steps and after all of them, for
    every rate: E x² ← (1 - γλ)² E x² + γ² E noise². Problems × rates × coordinates inside."""
    m, found = np.broadcast_to(square, (len(square), len(RATES), square.shape[-1])), []
    for t in range(1, steps + 1):
        r = RATES[:, None] * DECAYS[decay](np.array((t - 1) / steps))
        with np.errstate(over="ignore", invalid="ignore"):  # of rates that diverge
            m = (1 - r * curvature) ** 2 * m + (r * noise) ** 2
        if t in (look, steps):
            found += [(curvature * m).sum(-1) / 2] * (2 if look == steps else 1)
    return np.stack(found)


def free(
    curvature: np.ndarray, noise: np.ndarray, square: np.ndarray, steps: int, look: int, beta: float = 0.9
) -> np.ndarray:  # fmt: skip
    """The same of schedule-free SGD, z ← z - γ g((1 - β) z + β x), x ← the mean of all z; second moments of both."""
    zz = zx = xx = np.broadcast_to(square, (len(square), len(RATES), square.shape[-1]))
    r, found = RATES[:, None], []
    a, b = 1 - r * curvature * (1 - beta), -r * curvature * beta
    for t in range(1, steps + 1):
        new, cross, c = a * a * zz + 2 * a * b * zx + b * b * xx + (r * noise) ** 2, a * zx + b * xx, 1 / t
        xx = (1 - c) ** 2 * xx + 2 * c * (1 - c) * cross + c * c * new
        zz, zx = new, (1 - c) * cross + c * new
        if t in (look, steps):
            found += [(curvature * xx).sum(-1) / 2] * (2 if look == steps else 1)
    return np.stack(found)


def best(losses: np.ndarray) -> np.ndarray:
    """Of a last axis of rates the index of the best, which must lie inside."""
    at = np.where(np.isfinite(losses), losses, np.inf).argmin(-1)
    if (at == 0).any() or (at == losses.shape[-1] - 1).any():
        raise ValueError("the best rate is an end of the grid: give a wider one")
    return at


def half(steps: int) -> int:
    return steps // 2


def end(steps: int) -> int:
    return steps


@claim(
    "race protocol",
    FANTASTIC,
    kind="empirical",
    predicts=at_least(0.1),
    tolerance=0.0,
    wrong=end,
    subject=half,
    seeds=4,
    scale="noisy quadratics of 20 numbers, condition numbers 1 to 100, 200 steps; SGD with three decays, with none, "
    "and schedule-free",
)
def the_order_at_half_of_a_run_is_not_that_at_its_end(method: Look, seed: int) -> float:
    """Comparing intermediate checkpoints can mislead, as the order of two methods may turn round during training
    because of how their learning rates decay.

    The share of 12 problems (condition number and deviation of the noise, 0.1 to 1, drawn log-uniformly) in which of
    the nine pairs with a decaying method at least one is more than 1 % apart at half of the run one way round, and at
    its end the other. Every method has the rate of the best end; losses are exact expectations. «Can» is read as: in a
    tenth of problems, which was settled after a first look at such problems. It takes kinds of decay that differ:
    linear beside cosine, or a late decay beside schedule-free, turn round in a third of them, linear decay beside none
    never; and none beside schedule-free, which is left out, in half of them: decay is not the only reason.
    """
    random, problems, steps = np.random.default_rng(seed), 12, 200
    curvature = 10 ** (-2 * random.random((problems, 1, 1)) * np.linspace(0, 1, 20))
    noise = 10 ** -random.random((problems, 1, 1))
    square = random.standard_normal((problems, 1, 20)) ** 2
    seen = [sgd(curvature, noise, square, decay, steps, method(steps)) for decay in DECAYS]
    seen.append(free(curvature, noise, square, steps, method(steps)))
    # each (then, end) × problems
    tuned = [np.take_along_axis(x, best(x[1])[None, :, None], 2)[..., 0] for x in seen]
    turned = np.zeros(problems, dtype=bool)
    for i, j in combinations(range(5), 2):
        then, final = np.log(tuned[i] / tuned[j])
        turned |= (i < 3) & (then * final < 0) & (np.minimum(abs(then), abs(final)) > 0.01)
    return float(turned.mean())


def at_the_others_rate(losses: np.ndarray, other: int) -> float:
    """A baseline with the rate that the new method likes."""
    return float(losses[other])


def at_its_own_rate(losses: np.ndarray, other: int) -> float:
    return float(losses[best(losses)])


def speedup(target: float, losses: list[float], horizons: np.ndarray) -> float:
    """How many times the steps the baseline takes to the target, from completed runs, with logarithms interpolated; the
    longest run where it does not get there."""
    return float(np.exp(np.interp(-math.log(target), -np.log(losses), np.log(horizons))))


@claim(
    "race protocol",
    FANTASTIC,
    kind="empirical",
    predicts=at_least(1.27),
    tolerance=0.0,
    wrong=at_its_own_rate,
    subject=at_the_others_rate,
    seeds=5,
    scale="a noisy quadratic of 20 numbers, condition number 100, 50 to 800 steps with linear decay",
)
def tuning_the_baseline_takes_away_much_of_a_speedup(method: Any, seed: int) -> float:
    """Hyperparameters that suit one method may not suit another: beside a well-tuned baseline a new method's speed-up
    is lower than claimed, 1.1 to 1.4 in place of 1.4 to 2.

    The speed-up of SGD that is preconditioned with λ^(-1/2) over plain SGD with the rate of the preconditioned one,
    over that beside plain SGD with its own best rate at every length; both with linear decay, losses as expectations,
    geometric mean over 8 starts. Predicted: at least 1.4 / 1.1. The noise is small enough, 0.03, for preconditioning to
    be truly faster.
    """
    random, steps, horizons = np.random.default_rng(seed), 100, 2.0 ** np.arange(-1, 3.25, 0.5)
    curvature, noise = 10 ** (-2 * np.linspace(0, 1, 20)), np.array(0.03)
    square = random.standard_normal((8, 1, 20)) ** 2
    # with x = λ^(-1/4) y the preconditioned method is plain SGD on y, of curvature λ^(1/2) and noise λ^(-1/4)
    new = sgd(curvature**0.5, noise * curvature**-0.25, square * curvature**0.5, "linear", steps, 1)[1]
    old = [sgd(curvature, noise, square, "linear", round(steps * h), 1)[1] for h in horizons]
    gained = []
    for k, its in enumerate(best(new)):
        weak, real = (
            speedup(float(new[k, its]), [how(x[k], int(its)) for x in old], horizons)
            for how in (method, at_its_own_rate)
        )
        gained.append(math.log(weak / real))
    return math.exp(sum(gained) / len(gained))


def wald(successes: int, runs: int) -> Interval:
    """The normal interval around a share, which has no width where all runs end alike."""
    p = successes / runs
    reach = 1.96 * math.sqrt(p * (1 - p) / runs)
    return Interval(p - reach, p, p + reach)


@claim(
    "success criterion",
    ARITHMETIC,
    kind="empirical",
    predicts=equal(0.95),
    tolerance=0.02,
    wrong=wald,
    subject=rate,
    seeds=4,
    scale="20 to 23 runs, true rates of success from 0.005 to 0.995",
)
def the_interval_of_a_rate_of_success_holds_what_it_says(method: Any, seed: int) -> float:
    """A rate of success over seeds comes with a 95 % interval from the binomial law, also where few or all runs do.

    The probability that Wilson's interval holds the true rate, exactly, mean over 199 rates; 20 to 23 runs.
    """
    n, p = 20 + seed % 4, np.arange(1, 200) / 200
    found = [method(k, n) for k in range(n + 1)]
    chance = np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])
    inside = np.array([(x.low <= p) & (p <= x.high) for x in found])
    return float((chance * inside).sum(0).mean())


def normal_time(times: np.ndarray) -> Interval:
    """The mean and its standard error, as if times were Gaussian."""
    mid, reach = float(times.mean()), 1.96 * float(times.std(ddof=1)) / math.sqrt(len(times))
    return Interval(mid - reach, mid, mid + reach)


@claim(
    "success criterion",
    ARITHMETIC,
    kind="empirical",
    predicts=equal(0.95),
    tolerance=0.04,
    wrong=normal_time,
    subject=mean_time,
    seeds=5,
    scale="8 successful runs, exponential times",
)
def the_interval_of_a_time_to_success_holds_what_it_says(method: Any, seed: int) -> float:
    """Times to success are positive and skew: a gamma law gives the 95 % interval of their mean.

    The share of 500 samples of 8 exponential times whose interval holds the true mean.
    """
    samples = np.random.default_rng(seed).exponential(size=(500, 8))
    found = [method(x) for x in samples]
    return float(np.mean([x.low <= 1.0 <= x.high for x in found]))
