"""Rates from tests, estimates and rules, where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from piste import rates


def test_scaling_rules():
    assert rates.scaled_lr(0.1, 32, 128, "linear") == pytest.approx(0.4)
    assert rates.scaled_lr(0.1, 32, 128) == pytest.approx(0.2)
    assert rates.scaled_lr(rates.scaled_lr(0.3, 8, 100), 100, 8) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="rule must be one of linear, sqrt"):
        rates.scaled_lr(0.1, 1, 2, "cubic")
    with pytest.raises(ValueError, match="over 0"):
        rates.scaled_lr(0.1, 0, 2)


def test_the_step_law():
    found = rates.step_law(1e9, 1e11)
    assert found.lr == pytest.approx(1.63e-3, rel=0.01)
    assert found.batch == pytest.approx(1.108e6, rel=0.01)
    assert rates.step_law(2e9, 1e11).lr / found.lr == pytest.approx(2**-0.713)
    assert rates.step_law(1e9, 2e11).batch / found.batch == pytest.approx(2**0.571)
    with pytest.raises(ValueError, match="over 0"):
        rates.step_law(0, 1)


LAWS = {"coarse": rates.ShapeLaw(2.0, 0.5, 0.3, 1.0), "fine": rates.ShapeLaw(8.0, 0.7, 0.1, 1.0)}


def test_a_shape_law_inverts():
    law = LAWS["fine"]
    assert law.error(law.compute(0.4)) == pytest.approx(0.4)
    h = 1e-6
    assert law.cost(0.4) == pytest.approx((law.compute(0.4 - h) - law.compute(0.4 + h)) / (2 * h), rel=1e-5)
    assert law.compute(0.1) == law.cost(0.05) == math.inf


def test_changing_shapes_takes_no_more_compute_than_any():
    """∫ -dC/dE dE along the best shapes, against the one shape's own."""
    grid = torch.linspace(1.2, 0.35, 20_000, dtype=torch.float64)
    used, chosen = 0.0, []
    for high, low in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        name = rates.best_shape(LAWS, (high + low) / 2)
        chosen.append(name)
        used += LAWS[name].cost((high + low) / 2) * (high - low)
    alone = {n: law.compute(0.35) - law.compute(1.2) for n, law in LAWS.items()}
    assert used < min(alone.values())
    assert chosen[0] == "coarse" and chosen[-1] == "fine" and chosen == sorted(chosen)
    with pytest.raises(ValueError, match=r"no shape gets to an error of 0.05"):
        rates.best_shape(LAWS, 0.05)


def quadratic(h: list[float]):
    p = nn.Parameter(torch.ones(len(h), dtype=torch.float64))
    curvature = torch.tensor(h, dtype=torch.float64)
    return p, curvature


def test_the_hessian_free_estimate_of_a_quadratic():
    """Σ|hθ| / Σ|h²θ| whatever the rate, from the third step on."""
    p, h = quadratic([0.1, 1.0, 10.0])
    estimate = rates.HessianFreeRate([p], smoothing=1.0)
    for i in range(4):
        before = p.detach().clone()
        p.data -= 0.05 * h * p.data
        found = estimate.update(0.05)
        if i == 0:
            assert math.isnan(found)
            previous = before
        else:
            want = (h * previous).abs().sum() / (h**2 * previous).abs().sum()
            assert found == pytest.approx(float(want), rel=1e-9)
            previous = before
    assert estimate.value == found


def test_the_hessian_free_estimate_refuses_what_it_cannot_compare():
    p, _ = quadratic([1.0])
    estimate = rates.HessianFreeRate([p])
    p.data *= 0.9
    estimate.update(0.1)
    p.data *= 0.8
    with pytest.raises(ValueError, match=r"they had 0.1 and 0.2: call reset"):
        estimate.update(0.2)
    estimate.reset()
    p.data *= 0.8
    estimate.update(0.2)
    with pytest.raises(ValueError, match="must be over 0"):
        estimate.update(0.0)


def test_the_range_test_finds_where_a_quadratic_runs_away():
    """Descent on ½hθ² is stable below 2/h; noise keeps the loss up before."""
    p, h = quadratic([4.0, 1.0])
    g = torch.Generator().manual_seed(0)

    def step(lr):
        p.data -= lr * (h * p.data + 0.01 * torch.randn(2, generator=g, dtype=torch.float64))
        return float((h * p.data**2).sum() / 2) + 1e-3

    found = rates.range_test(step, 1.0, steps=400)
    assert 0.05 < found.highest < 0.55
    assert found.lrs[-1] < 0.9  # it gave up
    assert len(found.lrs) == len(found.losses) == len(found.smoothed)


def test_the_range_test_by_factors_is_drawn(tmp_path):
    found = rates.range_test(
        lambda lr: (math.log10(lr) + 2) ** 2, 1.0, steps=61, lowest=1e-4, log=True, smoothing=0.0
    )
    assert found.highest == pytest.approx(1e-2, rel=0.1)
    found.draw(tmp_path / "range.png")
    assert (tmp_path / "range.png").stat().st_size > 2000


@pytest.mark.parametrize("given, said", [
    (dict(highest=0.1, lowest=0.2), "rises from lowest to highest"),
    (dict(highest=0.1, log=True), "over 0 with log"),
    (dict(highest=0.1, steps=1), "at least 2 steps"),
])  # fmt: skip
def test_what_the_range_test_refuses(given, said):
    with pytest.raises(ValueError, match=said):
        rates.range_test(lambda lr: 1.0, **given)


def test_a_run_that_begins_in_ruin_is_told():
    with pytest.raises(ValueError, match="first step is not finite"):
        rates.range_test(lambda lr: math.nan, 1.0)


def test_the_lanczos_rate_of_a_known_spectrum():
    torch.manual_seed(0)
    values = torch.logspace(0, 2, 30, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(30, 30, dtype=torch.float64))[0]
    matrix = basis @ torch.diag(values) @ basis.mT
    p = nn.Parameter(torch.randn(30, dtype=torch.float64))
    found = rates.lanczos_rate(lambda: p @ matrix @ p / 2, [p], products=30)
    assert found.largest == pytest.approx(100, rel=1e-6)
    assert found.middle == pytest.approx(float(values.median()), rel=1e-4)
    assert found.lr == pytest.approx(2 / (found.largest + found.middle))
    few = rates.lanczos_rate(lambda: p @ matrix @ p / 2, [p], products=12)
    assert few.largest == pytest.approx(100, rel=0.02)
    for lr, ends in ((found.lr, True), (2.1 / found.largest, False)):
        x = torch.ones(30, dtype=torch.float64)
        for _ in range(3000):
            x = x - lr * matrix @ x
        assert (float(x.norm()) < 1e-3) == ends


def test_losses_without_curvature_are_refused():
    p = nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match="does not depend on the weights"):
        rates.lanczos_rate(lambda: p.sum(), [p])
