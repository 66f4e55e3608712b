"""Fits of scaling laws, on losses whose law is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...scaling import LAWS, Fit, allocate, fit
from ...scaling.fitting import least
from ...scaling.laws import Array, Law
from ...scaling.minimizing import huber
from ..claim import at_least, at_most, claim, equal

MISFITTING = "(Mis)Fitting: A Survey of Scaling Laws"
CHINCHILLA = "Training Compute-Optimal Large Language Models"
FLOORED = (1.7, 400.0, 0.34)
BOTH = (1.69, 406.4, 0.34, 410.7, 0.28)  # the fit of Chinchilla's authors
Fitting = Callable[..., Fit]


def losses(law: Law, values: Any, sizes: Array, noise: float, seed: int) -> Array:
    """Of that law, with normal noise on log L."""
    drawn = np.random.default_rng(seed).standard_normal(len(sizes))
    return law.predict(np.array([values]), sizes.reshape(len(sizes), -1))[0] * np.exp(noise * drawn)


def half_as_sure(law: str, sizes: Array, loss: Array, **more: Any) -> Fit:
    """Wrong: intervals of 50 % that call themselves what they were asked for."""
    return fit(law, sizes, loss, **{**more, "level": 0.5})


def sure_of_a_tenth(law: str, sizes: Array, loss: Array, **more: Any) -> Fit:
    """Wrong: a tenth to both sides, whatever the data."""
    found = fit(law, sizes, loss, **more)
    return replace(found, low=0.9 * found.values, high=1.1 * found.values)


def with_the_floor(law: str, sizes: Array, loss: Array, **more: Any) -> Fit:
    """Wrong where the floor should be left out: with it."""
    return fit("power+floor", sizes, loss, **more)


def without_the_floor(law: str, sizes: Array, loss: Array, **more: Any) -> Fit:
    """Wrong where there is a floor: two powers alone."""
    two = Law("two powers", "A·N^-α + B·D^-β", ("N", "D"), False, ("A", "α", "B", "β"))
    return fit(two, sizes, loss, **more)


def squares(law: str, sizes: Array, loss: Array, **more: Any) -> Fit:
    """Wrong where Huber's loss is meant: least squares."""
    return fit(law, sizes, loss, **{**more, "delta": 1e3})


@claim(
    "interval", MISFITTING, kind="empirical", predicts=equal(0.95), tolerance=0.1, subject=fit, wrong=half_as_sure,
    seeds=8, scale="A·N^-α, 10 points over three decades, noise 1 %, 15 laws a seed",
)  # fmt: skip
def intervals_of_a_fit_hold_the_exponent(method: Fitting, seed: int) -> float:
    """A fit is to come with intervals of its parameters: those of 95 % from resampled residuals hold the true exponent
    in 95 % of cases.

    The share of 15 noisy samples of a law whose interval of α holds 0.34.
    """
    sizes, held = np.geomspace(1e6, 1e9, 10), 0
    for i in range(15):
        loss = losses(LAWS["power"], (400.0, 0.34), sizes, 0.01, 15 * seed + i)
        low, high = method("power", sizes, loss, samples=100, held_out=0, seed=i).bounds("α")
        held += low <= 0.34 <= high
    return held / 15


def span(method: Fitting, decades: float, points: int, seed: int) -> float:
    """How wide the interval of α is, on the mean of six samples."""
    sizes, widths = np.geomspace(1e6, 1e6 * 10**decades, points), []
    for i in range(6):
        loss = losses(LAWS["power"], (400.0, 0.34), sizes, 0.01, 6 * seed + i)
        low, high = method("power", sizes, loss, samples=100, held_out=0, seed=i).bounds("α")
        widths.append(high - low)
    return float(np.mean(widths))


@claim(
    "interval", MISFITTING, kind="empirical", predicts=equal(3.0), tolerance=0.9, subject=fit, wrong=sure_of_a_tenth,
    scale="A·N^-α, 12 points, noise 1 %, one decade against three",
)  # fmt: skip
def a_short_range_of_sizes_widens_intervals(method: Fitting, seed: int) -> float:
    """A law fitted over a short range is unsure: as a slope, the exponent's error goes like one over the decades.

    Width of the interval of α from sizes over one decade, over that from three: 3 by the theory of lines.
    """
    return span(method, 1.0, 12, seed) / span(method, 3.0, 12, seed)


@claim(
    "interval", MISFITTING, kind="empirical", predicts=equal(2.0), tolerance=0.6, subject=fit, wrong=sure_of_a_tenth,
    seeds=8, scale="A·N^-α, 10 points against 40 over two decades, noise 1 %",
)  # fmt: skip
def few_points_widen_intervals(method: Fitting, seed: int) -> float:
    """A law fitted to few points is unsure: the exponent's error goes like one over the root of their number.

    Width of the interval of α from 10 points, over that from 40: 2 by the theory of lines (1.8 with the ends counted).
    """
    return span(method, 2.0, 10, seed) / span(method, 2.0, 40, seed)


@claim(
    "form of the law", MISFITTING, kind="empirical", predicts=at_most(0.8), tolerance=0.0, subject=fit,
    wrong=with_the_floor, scale="1.7 + 400·N^-0.34, 15 points from 10⁶ to 10⁹, noise 0.5 %",
)  # fmt: skip
def leaving_out_the_floor_lowers_the_exponent(method: Fitting, seed: int) -> float:
    """The form decides what is found: a power without a floor, fitted to losses that have one, gives another exponent.

    The α that a plain power finds, over the true one.
    """
    sizes = np.geomspace(1e6, 1e9, 15)
    loss = losses(LAWS["power+floor"], FLOORED, sizes, 0.005, seed)
    return method("power", sizes, loss, samples=0, held_out=0).value("α") / 0.34


@claim(
    "form of the law", MISFITTING, kind="empirical", predicts=at_least(0.5), tolerance=0.0, subject=fit,
    wrong=with_the_floor, scale="1.7 + 400·N^-0.34, 15 points from 10⁶ to 10⁹, noise 0.5 %",
)  # fmt: skip
def the_wrong_form_misleads_beyond_the_data(method: Fitting, seed: int) -> float:
    """What is to be trusted is tried on runs that were held out: a form without the floor misses larger runs by much
    more than one with it.

    log₁₀ of the ratio, without over with the floor, of the root mean square errors of log L at 100 times the largest
    size, over five samples; 0.5 is a factor of 3.
    """
    sizes, far, errors = np.geomspace(1e6, 1e9, 15), np.array([1e11]), []
    truth = losses(LAWS["power+floor"], FLOORED, far, 0.0, 0)
    for i in range(5):
        loss = losses(LAWS["power+floor"], FLOORED, sizes, 0.005, 5 * seed + i)
        said = [
            how(law, sizes, loss, samples=0, held_out=0).predict(far)
            for how, law in ((method, "power"), (fit, "power+floor"))
        ]
        errors.append([float(np.log(one / truth)[0]) for one in said])
    without, with_it = np.sqrt(np.square(errors).mean(0))
    return float(np.log10(without / with_it))


@claim(
    "held out", MISFITTING, kind="empirical", predicts=equal(0.95), tolerance=0.12, subject=fit, wrong=half_as_sure,
    seeds=10, scale="A·N^-α, 15 points over three decades, noise 1 %, 8 laws a seed",
)  # fmt: skip
def the_largest_runs_lie_in_the_interval_foretold(method: Fitting, seed: int) -> float:
    """A law is to be tried on runs that were held out: from the smaller ones the interval of 95 % foretells the
    largest in 95 % of cases.

    The share of the largest fifth of the runs, three of 15, in the interval of a fit to the others.
    """
    sizes, inside = np.geomspace(1e6, 1e9, 15), 0
    for i in range(8):
        loss = losses(LAWS["power"], (400.0, 0.34), sizes, 0.01, 1_000_000 + 8 * seed + i)
        held = method("power", sizes, loss, samples=60, seed=i).held
        inside += 0 if held is None else held.inside
    return inside / 24


def grid_of_runs() -> Array:
    n, d = np.meshgrid(np.geomspace(5e7, 1.6e10, 6), np.geomspace(5e9, 5e11, 6))
    return np.stack([n.ravel(), d.ravel()], 1)


def lbfgs_ends(law: Law, sizes: Array, loss: Array, starts: Array) -> Array:
    """Where L-BFGS goes with scipy's own settings, in θ of sizes as they are given."""
    from scipy.optimize import minimize

    u, y = np.log(sizes), np.log(loss)

    def objective(theta: Array) -> tuple[float, Array]:
        said, jacobian = law.log_loss(theta[None], u)
        residual = said[0] - y
        return float(huber(residual, 1e-3)), np.clip(residual, -1e-3, 1e-3) @ jacobian[0]

    return np.stack([minimize(objective, start, jac=True, method="L-BFGS-B").x for start in starts])


def ends_of_near_starts(law: Law, sizes: Array, loss: Array, starts: Array) -> Array:
    """Wrong where the start is to decide: from a grid at the scale of the data all end in one place."""
    return least(law, sizes, loss)[0]


@claim(
    "start of a fit", MISFITTING, kind="empirical", predicts=at_least(0.1), tolerance=0.0, subject=lbfgs_ends,
    wrong=ends_of_near_starts, seeds=4, scale="Chinchilla's law, 36 runs, noise 0.5 %, 12 starts",
)  # fmt: skip
def the_start_decides_the_law(method: Callable[..., Array], seed: int) -> float:
    """Fits of the same data from other starts come to other conclusions, of how to split compute, too.

    The exponent β/(α+β) of the best number of parameters, largest less smallest over 12 starts of L-BFGS drawn from the
    grid of Chinchilla's authors (log E -1 to 1, log A and B 0 to 25, α and β 0 to 2).
    """
    random = np.random.default_rng(seed)
    starts = np.stack(
        [
            random.choice(np.linspace(low, high, 5), 12)
            for low, high in ((-1, 1), (0, 25), (0, 2), (0, 25), (0, 2))
        ],
        1,
    )
    sizes = grid_of_runs()
    ends = method(LAWS["chinchilla"], sizes, losses(LAWS["chinchilla"], BOTH, sizes, 0.005, seed), starts)
    split = ends[:, 4] / (ends[:, 2] + ends[:, 4])
    return float(split.max() - split.min())


@claim(
    "loss of a fit", CHINCHILLA, kind="empirical", predicts=at_most(0.5), tolerance=0.0, subject=fit, wrong=squares,
    scale="A·N^-α, 20 points over three decades, noise 0.5 %, one run in ten off by up to 30 %",
)  # fmt: skip
def hubers_loss_forgives_runs_that_went_wrong(method: Fitting, seed: int) -> float:
    """Huber's loss with δ = 10⁻³ is robust to outliers, which matters for laws that are to foretell.

    Error of α where two of 20 runs ended too high, over that of least squares; root mean squares of eight samples.
    """
    sizes, errors = np.geomspace(1e6, 1e9, 20), []
    for i in range(8):
        loss = losses(LAWS["power"], (400.0, 0.34), sizes, 0.005, 8 * seed + i)
        random = np.random.default_rng(8 * seed + i)
        loss[random.choice(20, 2, replace=False)] *= 1 + random.uniform(0.1, 0.3, 2)
        errors.append(
            [how("power", sizes, loss, samples=0, held_out=0).value("α") - 0.34 for how in (method, squares)]
        )
    mine, other = np.sqrt(np.square(errors).mean(0))
    return float(mine / other)


def half_and_half(law: Law, values: Any, flops: Array) -> tuple[Array, Array]:
    """Wrong: as many parameters as tokens."""
    return np.sqrt(flops / 6), np.sqrt(flops / 6)


@claim(
    "allocate", CHINCHILLA, kind="identity", predicts=equal(0.0), tolerance=1e-6, subject=allocate, wrong=half_and_half,
    seeds=2,
)  # fmt: skip
def compute_is_split_best_by_the_formula(method: Callable[..., tuple[Array, Array]], seed: int) -> float:
    """Where C = 6 N D, the law's least loss lies at N = G (C/6)^(β/(α+β)), G = (αA/βB)^(1/(α+β)).

    The largest difference of log N from a search by golden section, for ten C and random laws.
    """
    random, flops = np.random.default_rng(seed), np.geomspace(1e18, 1e26, 10)
    values = np.array(BOTH) * np.exp(random.uniform(-0.3, 0.3, 5))
    found, _ = method(LAWS["chinchilla"], values, flops)
    low, high, golden = np.full(10, np.log(1e3)), np.full(10, np.log(1e20)), (5**0.5 - 1) / 2

    def slope(log_n: Array) -> Array:
        _, a, alpha, b, beta = values
        return beta * b * np.exp(-beta * (np.log(flops / 6) - log_n)) - alpha * a * np.exp(-alpha * log_n)

    for _ in range(120):
        middle = low + golden * (high - low)
        low, high = np.where(slope(middle) < 0, middle, low), np.where(slope(middle) < 0, high, middle)
    return float(np.abs(np.log(found) - low).max())


@claim(
    "fit", CHINCHILLA, kind="empirical", predicts=at_most(0.1), tolerance=0.0, subject=fit, wrong=without_the_floor,
    scale="Chinchilla's law, 36 runs over 2.5 and 2 decades, noise 0.3 %",
)  # fmt: skip
def the_law_is_found_again_in_its_own_losses(method: Fitting, seed: int) -> float:
    """Fitting E + A N^-α + B D^-β by Huber's loss of log L from a grid of starts finds the law behind the losses.

    Root mean square of log α/0.34 and log β/0.28 over three samples.
    """
    sizes, off = grid_of_runs(), []
    for i in range(3):
        loss = losses(LAWS["chinchilla"], BOTH, sizes, 0.003, 3 * seed + i)
        found = method("chinchilla", sizes, loss, samples=0, held_out=0)
        off += [np.log(found.value("α") / 0.34), np.log(found.value("β") / 0.28)]
    return float(np.sqrt(np.square(off).mean()))
