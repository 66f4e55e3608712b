"""Schedules that papers derive, against their formulas; refinement; and all of them as torch's schedulers."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import piste
from piste import schedules as s
from piste.interop import ScheduleLR
from piste.transforms import descend, ema_weights

steps = st.integers(2, 300)


@given(steps, st.floats(0.01, 20.0), st.integers(0, 320))
def test_uba_is_the_papers_formula(n, phi, t):
    theta = math.pi * min(t, n) / n
    want = 0.1 + 0.9 * 2 * (1 + math.cos(theta)) / (2 * phi + (2 - phi) * (1 + math.cos(theta)))
    assert s.uba(1.0, n, phi, end=0.1)(t) == pytest.approx(want, rel=1e-9)


@given(steps, st.integers(0, 320))
def test_uba_of_two_is_half_a_cosine_and_of_none_constant(n, t):
    assert s.uba(0.3, n, 2.0, end=0.01)(t) == pytest.approx(s.cosine(0.3, n, end=0.01)(t), rel=1e-12)
    assert s.uba(0.3, n, 0.0)(t) == 0.3


@given(steps, st.floats(0.1, 20.0), st.floats(0.1, 20.0))
def test_uba_falls_and_sooner_for_a_larger_phi(n, a, b):
    low, high = (s.uba(1.0, n, phi) for phi in sorted((a, b)))
    assert all(high(t) <= low(t) + 1e-12 for t in range(n + 1))
    assert all(low(t + 1) <= low(t) for t in range(n))
    assert s.uba(1.0, 100, a)(50) == pytest.approx(2 / (2 + a))


def test_the_power_law_of_tokens():
    f = s.power(batch=128, tokens=1e9)
    assert f(99) == pytest.approx(4 * 128 * 1e11**-0.51, rel=1e-12)
    assert f(0) == 4 * 128 * 1e9**-0.51 < 0.02
    assert s.power(batch=1024, tokens=1e6)(0) == 0.02  # the cap
    assert math.log(f(999) / f(99), 10) == pytest.approx(-0.51)
    whole = s.times([f, s.wsd(1.0, 1000, cooldown=100, warmup=10)])
    assert whole(0) == 0 and whole(1000) == 0
    assert whole(500) == f(500)


def test_rewarming_rises_falls_and_stays():
    f = s.rewarm(0.2, 100, warmup=10)
    assert [f(t) for t in (0, 5, 10)] == pytest.approx([0, 0.1, 0.2])
    assert f(55) == pytest.approx(0.02 + 0.18 / 2)
    assert f(100) == f(1000) == pytest.approx(0.02)


@given(st.integers(1, 40), st.integers(0, 400))
def test_repeat_begins_again(period, t):
    f = s.linear(1.0, 0.0, 50)
    assert s.repeat(f, period)(t) == f(t % period)


def test_points_are_met_and_joined_by_lines():
    f = s.points([0.0, 1.0, 0.5], 5)
    assert [f(t) for t in range(7)] == [0.0, 0.5, 1.0, 0.75, 0.5, 0.5, 0.5]
    assert s.points([2.0, 1.0], 1)(0) == 2.0


# a target that moves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drift, last", [(0.0, 3.4e-4), (0.05, 0.0262), (0.2, 0.0628)])
def test_the_rate_for_a_moving_target(drift, last):
    f = s.drifting(10, 1, 0.5, s.constant(drift), 1.0)
    assert f(0) == pytest.approx(1 / (1 * 12 + 0.25 * 10))
    assert f(2999) == pytest.approx(last, rel=0.01)
    assert f(50) == s.drifting(10, 1, 0.5, s.constant(drift), 1.0)(50)  # whatever was asked before


def test_the_rate_rises_where_the_target_jumps():
    f = s.drifting(10, 1, 0.5, s.piecewise([0.0, 1.0, 0.0], [100, 101]), 1.0)
    assert f(100) < f(99)
    assert f(101) > 3 * f(100)


def test_no_other_rate_comes_nearer_to_the_target():
    """v after each step, simulated: the schedule's against half and twice of it."""
    generator = torch.Generator().manual_seed(0)
    d, noise, runs, n = 5, 0.5, 4000, 60
    f = s.drifting(d, 1, noise, s.constant(0.1), float(d))

    def error(factor: float) -> float:
        off = torch.randn(runs, d, generator=generator, dtype=torch.float64)  # θ - θ*
        for t in range(n):
            x = torch.randn(runs, d, generator=generator, dtype=torch.float64)
            e = (x * off).sum(1) + noise * torch.randn(runs, generator=generator, dtype=torch.float64)
            off = off - factor * f(t) * e.unsqueeze(1) * x
            off = off + 0.1 / math.sqrt(d) * torch.randn(runs, d, generator=generator, dtype=torch.float64)
        return float(off.square().sum(1).mean())

    best = error(1.0)
    assert best < error(0.5) and best < error(1.7)


# refinement ---------------------------------------------------------------------------------------------------------


def test_equal_norms_give_a_line_to_zero():
    f = s.refined([2.5] * 50, 1.0, 50)
    assert [f(t) for t in range(50)] == pytest.approx([(49 - t) / 49 for t in range(50)])


@pytest.mark.parametrize("kind, power", [("sgd", -2), ("adam", -1)])
def test_the_closed_form(kind, power):
    g = np.random.default_rng(0).uniform(0.5, 2.0, 30)
    w = g**power
    want = np.array([w[t] * w[t + 1 :].sum() for t in range(30)])
    f = s.refined(g.tolist(), 0.3, 30, kind, smoothing=0.0)
    assert [f(t) for t in range(30)] == pytest.approx((0.3 * want / want.max()).tolist(), rel=1e-9)
    scaled = s.refined((7 * g).tolist(), 0.3, 30, kind, smoothing=0.0)
    assert [scaled(t) for t in range(30)] == pytest.approx([f(t) for t in range(30)], rel=1e-9)


def test_norms_that_fall_at_first_warm_up():
    norms = [10.0 - 0.09 * t for t in range(100)] + [1.0] * 300
    f = s.refined(norms, 1.0, 400)
    values = [f(t) for t in range(400)]
    assert values[0] < 0.05 and values.index(1.0) > 50


def test_smoothing_is_a_median_with_mirrored_end():
    scipy = pytest.importorskip("scipy.ndimage")
    from piste.schedules.refining import smoothed

    g = np.random.default_rng(1).uniform(0.5, 2.0, 200)
    width = 2 * (int(0.1 * 200) // 2) + 1
    want = scipy.median_filter(np.pad(g, (0, 2 * width), mode="reflect"), size=width, mode="nearest")[
        : -2 * width
    ]
    np.testing.assert_array_equal(smoothed(g, 0.1), want)


def test_many_norms_are_thinned_and_a_longer_run_stretches():
    f = s.refined([1.0] * 25_000, 1.0, 1000)
    assert f(500) == pytest.approx(0.5, abs=1e-3)


def test_a_schedule_comes_back_from_its_file(tmp_path):
    f = s.refined([3.0, 2.0, 1.0, 2.0], 0.1, 50)
    s.save(f, tmp_path / "next.json")
    assert s.read(tmp_path / "next.json") == f
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad.json is not a schedule"):
        s.read(tmp_path / "bad.json")
    with pytest.raises(TypeError, match="points and refined ones are saved"):
        s.save(s.cosine(0.1, 10), tmp_path / "x.json")


@pytest.mark.parametrize("given, said", [
    (dict(norms=[1.0, 0.0, 2.0]), "that of step 1 is 0.0, 1 in all"),
    (dict(norms=[1.0, math.nan]), "positive and finite"),
    (dict(norms=[1.0]), "two or more gradient norms"),
    (dict(norms=[1.0, 2.0], kind="lion"), "kind must be one of sgd, adam"),
    (dict(norms=[1.0, 2.0], smoothing=1.0), "smoothing is a share"),
])  # fmt: skip
def test_norms_that_cannot_be_used(given, said):
    with pytest.raises(ValueError, match=said):
        s.refined(**{"peak": 1.0, "steps": 10, **given})


# decays of averages --------------------------------------------------------------------------------------------------


def test_warm_up_of_an_average():
    f = s.ema_warmup(0.9999)
    assert [f(t) for t in (0, 1)] == pytest.approx([0.0, 1 - 2 ** (-2 / 3)])
    assert f(31_622) == pytest.approx(0.999, abs=1e-5)
    assert f(10**7) == 0.9999
    assert [s.ema_warmup(0.9999, power=1.0)(t) for t in range(4)] == pytest.approx([0, 1 / 2, 2 / 3, 3 / 4])


def test_warm_up_of_power_one_is_the_plain_mean():
    @piste.optimizer
    def Mean(lr=0.1, decay=0.9):
        return piste.chain(descend(lr), ema_weights(decay))

    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    opt = Mean([p])
    opt.schedules["decay"] = s.ema_warmup(0.999999, power=1.0)
    seen = []
    for i in range(12):
        p.grad = torch.full_like(p, float(i % 5))
        opt.step()
        seen.append(p.item())
    with opt.averaged():
        assert p.item() == pytest.approx(sum(seen) / 12)


def test_a_share_of_the_past_has_that_half_life():
    f = s.share_of_the_past(0.1)
    forgotten = math.prod(f(t) for t in range(1000, 1100))
    assert forgotten == pytest.approx(0.5, abs=0.02)


# torch's schedulers --------------------------------------------------------------------------------------------------


def optimizer(*lrs: float):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs])


def test_a_schedule_is_a_torch_scheduler():
    opt = optimizer(0.1, 0.2)
    scheduler = ScheduleLR(opt, [s.cosine(0.3, 10), s.scale(s.d2z(1.0, 10))])
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    for t in range(12):
        assert [g["lr"] for g in opt.param_groups] == [s.cosine(0.3, 10)(t), 0.2 * s.d2z(1.0, 10)(t)]
        assert scheduler.get_last_lr() == [g["lr"] for g in opt.param_groups]
        opt.step()
        scheduler.step()


@pytest.mark.parametrize("cut", [0, 3, 7])
def test_a_torch_scheduler_resumes(cut):
    def run(opt, scheduler, n):
        seen = []
        for _ in range(n):
            seen.append(opt.param_groups[0]["lr"])
            opt.step()
            scheduler.step()
        return seen

    f = s.warmup(4, s.cosine(0.3, 6))
    opt = optimizer(0.1)
    whole = run(opt, ScheduleLR(opt, f), 10)
    opt = optimizer(0.1)
    scheduler = ScheduleLR(opt, f)
    first = run(opt, scheduler, cut)
    file = io.BytesIO()
    torch.save((opt.state_dict(), scheduler.state_dict()), file)
    file.seek(0)
    saved, state = torch.load(file, weights_only=True)
    opt = optimizer(0.1)
    scheduler = ScheduleLR(opt, f)
    opt.load_state_dict(saved)
    scheduler.load_state_dict(state)
    assert first + run(opt, scheduler, 10 - cut) == whole


def test_what_a_torch_scheduler_refuses():
    with pytest.raises(ValueError, match="2 param groups and 1 schedules"):
        ScheduleLR(optimizer(0.1, 0.2), [s.constant(0.1)])
    with pytest.raises(TypeError, match=r"0.3 is no function of the step"):
        ScheduleLR(optimizer(0.1), [0.3])
