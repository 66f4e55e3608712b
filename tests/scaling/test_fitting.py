"""Fits of scaling laws: known laws are found again, another minimizer finds no better, and doubts are spoken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from piste.scaling import LAWS, allocate, checklist, fit, warnings
from piste.scaling.fitting import least
from piste.scaling.laws import law_of
from piste.scaling.minimizing import huber

TRUE = {
    "power": (400.0, 0.34),
    "power+floor": (1.7, 400.0, 0.34),
    "chinchilla": (1.7, 400.0, 0.34, 410.0, 0.28),
}


def runs(name: str, noise: float = 0.0, seed: int = 0, points: int = 20):
    """Sizes and losses of a law, with noise on log L."""
    law, random = LAWS[name], np.random.default_rng(seed)
    sizes = np.geomspace(1e6, 1e9, points)[:, None]
    if len(law.sizes) == 2:
        n, d = np.meshgrid(np.geomspace(1e7, 1e10, 7), np.geomspace(1e9, 1e12, 7))
        sizes = np.stack([n.ravel(), d.ravel()], 1)
    loss = law.predict(np.array([TRUE[name]]), sizes)[0]
    return sizes, loss * np.exp(noise * random.standard_normal(len(loss)))


@pytest.mark.parametrize("name", LAWS)
def test_a_law_without_noise_is_found_to_rounding(name):
    found = fit(name, *runs(name))
    assert found.values == pytest.approx(TRUE[name], rel=1e-6)
    assert found.held is not None and found.held.error < 1e-9 and found.explained > 1 - 1e-12


@pytest.mark.parametrize("name", LAWS)
def test_units_of_sizes_do_not_matter(name):
    sizes, loss = runs(name, 0.01)
    one, other = fit(name, sizes, loss, samples=20), fit(name, sizes / 1e6, loss, samples=20)
    for exponent in one.law.exponents:
        assert one.value(exponent) == pytest.approx(other.value(exponent), rel=1e-4)
        assert one.bounds(exponent) == pytest.approx(other.bounds(exponent), rel=1e-3)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("seed", range(3))
def test_lbfgs_from_the_same_starts_finds_no_better(name, seed):
    law, (sizes, loss) = LAWS[name], runs(name, 0.01, seed)
    _, objectives, starts, center = least(law, sizes, loss)
    u, y = np.log(sizes) - center, np.log(loss)

    def scaled(theta):
        said, jacobian = law.log_loss(theta[None], u)
        residual = said[0] - y
        return 1e3 * huber(residual, 1e-3), 1e3 * np.clip(residual, -1e-3, 1e-3) @ jacobian[0]

    for start in starts[:: max(1, len(starts) // 4)]:
        other = optimize.minimize(scaled, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
        assert objectives.min() <= other.fun / 1e3 * (1 + 1e-5)


@pytest.mark.parametrize("name", LAWS)
def test_derivatives_are_those_of_differences(name):
    law, (sizes, loss) = LAWS[name], runs(name)
    _, _, starts, center = least(law, sizes, loss)
    u, theta, h = np.log(sizes) - center, starts[:3], 1e-6
    _, jacobian = law.log_loss(theta, u)
    for i in range(theta.shape[1]):
        shift = h * np.eye(theta.shape[1])[i]
        slope = (law.log_loss(theta + shift, u)[0] - law.log_loss(theta - shift, u)[0]) / (2 * h)
        assert slope == pytest.approx(jacobian[:, :, i], abs=1e-7)


def test_intervals_widen_with_the_noise_and_are_repeatable():
    wide, narrow = (fit("power", *runs("power", noise)) for noise in (0.03, 0.003))
    spans = [high - low for low, high in (wide.bounds("α"), narrow.bounds("α"))]
    assert 5 < spans[0] / spans[1] < 20
    assert (fit("power", *runs("power", 0.03)).low == wide.low).all()
    assert (fit("power", *runs("power", 0.03), seed=1).low != wide.low).any()


def test_intervals_of_95_percent_hold_the_truth_about_as_often():
    held = 0
    for seed in range(60):
        low, high = fit("power+floor", *runs("power+floor", 0.01, seed), samples=100, held_out=0).bounds("α")
        held += low < 0.34 < high
    assert 50 <= held <= 60


def test_compute_is_split_by_the_exponents():
    a, low, high = fit("chinchilla", *runs("chinchilla", 0.003)).allocation
    assert a == pytest.approx(0.28 / 0.62, abs=0.01) and low < a < high
    assert fit("power", *runs("power")).allocation is None


def test_one_run_that_went_wrong_hardly_moves_the_law():
    sizes, loss = runs("power", 0.001)
    loss[3] *= 2
    assert fit("power", sizes, loss).value("α") == pytest.approx(0.34, abs=0.001)


def test_a_sound_fit_has_no_warnings_and_asks_what_it_cannot_know():
    found = fit("power+floor", *runs("power+floor", 0.001))
    assert warnings(found) == []
    assert {item.status for item in checklist(found)} == {"good", "yours"}


def test_doubts_are_spoken():
    sizes, loss = runs("power", 0.001)
    assert any(w.startswith("floor") for w in warnings(fit("power+floor", sizes, loss)))
    short = np.geomspace(1e6, 5e6, 6)
    said = warnings(fit("power+floor", short, 1.7 + 400 * short**-0.34))
    assert any("less than one" in w for w in said) and any(w.startswith("points") for w in said)
    one = fit("power", sizes, loss, starts=[[0.0, 0.5]], held_out=0.0)
    assert any("one only" in w for w in warnings(one)) and any(
        w.startswith("held out") for w in warnings(one)
    )
    flat = 3 + 0.1 * np.sin(np.arange(20))
    assert any(w.startswith("goodness") for w in warnings(fit("power", sizes, flat)))


def test_a_broken_law_misses_what_is_held_out():
    sizes, loss = runs("power", 0.001)
    loss[-4:] = loss[-5]  # it stops falling
    assert any(w.startswith("held out") for w in warnings(fit("power", sizes, loss)))


@pytest.mark.parametrize(
    ("law", "sizes", "loss", "said"),
    [
        ("power", [1, 2, 3], [1, 1, 1], "too few"),
        ("power", [1, 2, 3, -4], [1, 1, 1, 1], "N must be positive"),
        ("power", [1, 2, 3, 4], [1, 1, 1, math.nan], "the loss must be positive"),
        ("power+floor", [1, 1, 2, 2, 2], [2, 2, 1, 1, 1], "different values"),
        ("power", [[1, 1]] * 9, [1] * 9, "takes 1 sizes"),
        ("power", [1, 2, 3, 4, 5], [1, 1, 1, 1], "belong together"),
    ],
)
def test_what_cannot_be_fitted_is_refused(law, sizes, loss, said):
    with pytest.raises(ValueError, match=said):
        fit(law, sizes, loss)


def test_an_unknown_law_is_refused_with_those_there_are():
    with pytest.raises(KeyError, match="chinchilla"):
        law_of("powr")


def test_a_law_of_one_size_has_nothing_to_split():
    with pytest.raises(ValueError, match="nothing to split"):
        allocate(LAWS["power"], [1.0, 0.3], 1e20)
