"""Schedules against torch's LR schedulers, their papers' formulas, and what every schedule must keep."""

from __future__ import annotations

import math
import pickle
import warnings
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piste import _registry
from piste import schedules as s

lr = st.floats(1e-6, 10.0)
steps = st.integers(2, 400)

# one of each, with the step after which nothing changes any more (None: it moves for ever)
EXAMPLES = {
    "constant": (s.constant(0.1), 0),
    "linear": (s.linear(0.1, 0.01, 50), 50),
    "cosine": (s.cosine(0.1, 50, end=0.01), 50),
    "polynomial": (s.polynomial(0.1, 50, power=2.0), 50),
    "exponential": (s.exponential(0.1, 0.99), None),
    "inverse_sqrt": (s.inverse_sqrt(0.1, warmup=10), None),
    "piecewise": (s.piecewise([0.1, 0.05, 0.02], [20, 50]), 50),
    "wsd": (s.wsd(0.1, 50, cooldown=10, warmup=5), 50),
    "d2z": (s.d2z(0.1, 50, warmup=5), 50),
    "one_cycle": (s.one_cycle(0.1, 50), 49),
    "sgdr": (s.sgdr(0.1, period=10, mult=2), None),
    "warmup": (s.warmup(5, s.cosine(0.1, 45)), 50),
    "join": (s.join([s.constant(0.1), s.linear(0.1, 0.0, 30)], [20]), 50),
    "scale": (s.scale(s.cosine(1.0, 50)), 50),
    "every": (s.every(5, phase=2, start=10), None),
    "evenly": (s.evenly(0.3), None),
    "chance": (s.chance(0.3, seed=1), None),
    "drawn_uniformly": (s.drawn_uniformly(2.0, 3.0, seed=1), None),
    "drawn_exponentially": (s.drawn_exponentially(2.0), None),
    "half_life": (s.half_life(0.9, 0.999, 50), 50),
    "points": (s.points([0.1, 0.3, 0.05], 50), 49),
    "uba": (s.uba(0.1, 50, phi=5.0, end=0.01), 50),
    "power": (s.power(128, 1e9), None),
    "rewarm": (s.rewarm(0.1, 50, warmup=5), 50),
    "repeat": (s.repeat(s.linear(0.1, 0.0, 10), 10), None),
    "times": (s.times([s.cosine(0.1, 50), s.exponential(1.0, 1.0)]), 50),
    "drifting": (s.drifting(10, 1, 0.5, s.constant(0.1), 1.0), None),
    "refined": (s.refined([3.0, 2.0, 1.0, 2.0], 0.1, 50, smoothing=0.0), 49),
    "ema_warmup": (s.ema_warmup(0.9), 31),
    "share_of_the_past": (s.share_of_the_past(0.04), None),
}


def torch_lrs(make, base: float, n: int) -> list[float]:
    """The learning rates torch's scheduler gives the first ``n`` steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = make(optimizer)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # SequentialLR passes steps to its parts, which torch itself deprecates
        for _ in range(n):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return seen


def agree(schedule, make, base: float, n: int) -> None:
    theirs = torch_lrs(make, base, n)
    ours = [schedule(t) for t in range(n)]
    # torch multiplies from step to step, which costs it an ulp or so per step
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12 * base)


L = torch.optim.lr_scheduler


@given(lr, steps)
def test_linear_is_torchs(base, n):
    agree(s.linear(base * 0.25, base, n), lambda o: L.LinearLR(o, 0.25, 1.0, n), base, n + 5)


@given(lr, steps)
def test_cosine_is_torchs(base, n):
    agree(s.cosine(base, n, end=base / 7), lambda o: L.CosineAnnealingLR(o, n, base / 7), base, n + 1)


@given(lr, steps, st.floats(0.5, 3.0))
def test_polynomial_is_torchs(base, n, power):
    agree(s.polynomial(base, n, power), lambda o: L.PolynomialLR(o, n, power), base, n + 5)


@given(lr, st.floats(0.8, 1.0))
def test_exponential_is_torchs(base, gamma):
    agree(s.exponential(base, gamma), lambda o: L.ExponentialLR(o, gamma), base, 60)


@given(lr, st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(sorted))
def test_piecewise_is_torchs_multistep(base, milestones):
    values = [base * 0.5**i for i in range(len(milestones) + 1)]
    agree(s.piecewise(values, milestones), lambda o: L.MultiStepLR(o, milestones, 0.5), base, 70)


@given(lr, st.integers(10, 300), st.floats(0.15, 0.85), st.sampled_from(["cos", "linear"]))
def test_one_cycle_is_torchs(base, n, rise, strategy):
    shape = {"cos": s.half_cosine, "linear": s.straight}[strategy]
    ours = s.one_cycle(base, n, rise=rise, shape=shape)
    agree(
        ours,
        lambda o: L.OneCycleLR(o, base, n, pct_start=rise, anneal_strategy=strategy, cycle_momentum=False),
        base,
        n - 1,
    )


@given(lr, st.integers(1, 40), st.integers(1, 3))
def test_sgdr_is_torchs(base, period, mult):
    ours = s.sgdr(base, period, mult, end=base / 9)
    agree(ours, lambda o: L.CosineAnnealingWarmRestarts(o, period, mult, base / 9), base, 130)


@given(lr, st.integers(1, 30), st.integers(1, 60))
def test_join_is_torchs_sequential(base, first, then):
    ours = s.join([s.linear(base / 10, base, first), s.cosine(base, then)], [first])
    agree(
        ours,
        lambda o: L.SequentialLR(o, [L.LinearLR(o, 0.1, 1.0, first), L.CosineAnnealingLR(o, then)], [first]),
        base,
        first + then,
    )


def test_scale_is_torchs_lambda_in_every_group():
    factor = s.scale(s.warmup(3, s.d2z(1.0, 20)))
    bases = [0.1, 0.003]
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in bases]
    optimizer = torch.optim.SGD([{"params": [p], "lr": b} for p, b in zip(params, bases)])
    scheduler = L.LambdaLR(optimizer, factor)
    assert factor.relative
    for t in range(25):
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([b * factor(t) for b in bases])
        optimizer.step()
        scheduler.step()


@given(st.integers(1, 4096), st.integers(1, 10_000), st.integers(0, 50_000))
def test_inverse_sqrt_is_the_papers_equation(width, warm, t):
    step = t + 1
    paper = width**-0.5 * min(step**-0.5, step * warm**-1.5)
    assert s.inverse_sqrt((width * warm) ** -0.5, warm)(t) == pytest.approx(paper, rel=1e-12)


@given(lr, st.integers(10, 500), st.data())
def test_wsd_rises_stays_and_falls(peak, n, data):
    warm = data.draw(st.integers(0, n - 2))
    cool = data.draw(st.integers(1, n - warm))
    for shape in (s.straight, s.half_cosine, s.one_minus_sqrt):
        f = s.wsd(peak, n, cool, warm, end=peak / 10, shape=shape)
        values = [f(t) for t in range(n + 1)]
        assert values[:warm] == pytest.approx([peak * t / warm for t in range(warm)])
        assert values[warm : n - cool + 1] == [peak] * (n - cool + 1 - warm)
        assert all(a >= b for a, b in pairwise(values[n - cool :]))
        assert values[n] == peak / 10 == f(10 * n)


def test_wsd_cooldown_is_one_minus_sqrt():
    f = s.wsd(1.0, 100, cooldown=40)
    assert [f(60 + t) for t in range(41)] == pytest.approx([1 - math.sqrt(t / 40) for t in range(41)])


@given(lr, st.integers(2, 500), st.data())
def test_d2z_falls_straight_to_zero(peak, n, data):
    warm = data.draw(st.integers(0, n - 1))
    f = s.d2z(peak, n, warm)
    assert f(warm) == peak
    assert f(n) == 0.0
    falls = [f(t) - f(t + 1) for t in range(warm, n)]
    assert falls == pytest.approx([peak / (n - warm)] * (n - warm), rel=1e-6)


@given(st.integers(1, 50), lr, st.floats(0.0, 1.0))
def test_warmup_meets_what_follows(n, peak, start):
    then = s.cosine(peak, 40)
    f = s.warmup(n, then, start)
    assert f(0) == pytest.approx(start * peak)
    assert [f(n + t) for t in range(45)] == [then(t) for t in range(45)]
    rises = [f(t + 1) - f(t) for t in range(n)]
    assert rises == pytest.approx([peak * (1 - start) / n] * n, abs=1e-12 * peak)


@given(st.integers(1, 20), st.integers(0, 40), st.integers(0, 30))
def test_every_fires_once_in_k_steps_from_start(k, phase, start):
    f = s.every(k, phase, start)
    fired = [t for t in range(200) if f(t)]
    assert all(isinstance(f(t), bool) for t in range(5))
    assert all(b - a == k for a, b in pairwise(fired))
    assert all((t - phase) % k == 0 for t in fired)
    assert start <= fired[0] < start + k


def test_phases_spread_the_work():
    assert all(sum(s.every(4, phase)(t) for phase in range(4)) == 1 for t in range(40))


@given(lr, st.integers(1, 200), st.integers(0, 400), st.floats(0.0, 1.0))
def test_decays_stay_between_their_ends_and_hit_both(peak, n, t, part):
    low = peak * part
    for f in (s.linear(peak, low, n), s.cosine(peak, n, low), s.polynomial(peak, n, 1.7, low)):
        assert f(0) == peak
        assert f(n) == low
        assert low * (1 - 1e-12) <= f(t) <= peak * (1 + 1e-12)
        assert f(t + 1) <= f(t) * (1 + 1e-12)


def test_there_is_an_example_of_every_schedule():
    assert sorted(EXAMPLES) == sorted(e.name for e in _registry.registry("schedule"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_pickles_compares_and_hashes_by_value(name):
    f, _ = EXAMPLES[name]
    again = pickle.loads(pickle.dumps(f))
    assert again == f
    assert hash(again) == hash(f)
    assert [again(t) for t in range(80)] == [f(t) for t in range(80)]
    assert f.make(**dict(f.arguments)) == f
    assert f != s.constant(0.7)


@pytest.mark.parametrize("name", EXAMPLES)
def test_holds_its_last_value(name):
    f, end = EXAMPLES[name]
    if end is None:
        assert len({f(t) for t in range(80)}) > 1
    else:
        assert {f(t) for t in range(end, end + 100)} == {f(end)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_prints_what_would_make_it(name):
    f, _ = EXAMPLES[name]
    assert eval(repr(f), vars(s)) == f


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: s.cosine(math.nan, 10), ValueError, "cosine: peak must be a finite number; got nan"),
        (lambda: s.cosine("1", 10), ValueError, "peak must be a finite number; got '1'"),
        (lambda: s.linear(1.0, math.inf, 10), ValueError, "linear: end must be a finite"),
        (lambda: s.cosine(1.0, 0), ValueError, "steps must be an integer of at least 1; got 0"),
        (lambda: s.cosine(1.0, 10.5), ValueError, "steps must be an integer"),
        (lambda: s.cosine(1.0, True), ValueError, "steps must be an integer"),
        (lambda: s.cosine(1.0, stpes=10), TypeError, "cosine: missing .* it takes peak, steps, end"),
        (lambda: s.cosine(1.0, 10, low=0), TypeError, "'low'; it takes peak, steps, end"),
        (lambda: s.wsd(1.0, 10, 6, 5), ValueError, "wsd: warmup and cooldown must fit into steps"),
        (lambda: s.wsd(1.0, 10, 6, shape=1), TypeError, "wsd: shape must be a function on"),
        (lambda: s.d2z(1.0, 10, 10), ValueError, "d2z: warmup must be under steps"),
        (lambda: s.exponential(1.0, 1.1), ValueError, "decay must be over 0 and at most 1"),
        (lambda: s.polynomial(1.0, 10, 0.0), ValueError, "power must be positive"),
        (lambda: s.one_cycle(1.0, 10, rise=1.0), ValueError, "rise times steps"),
        (lambda: s.one_cycle(1.0, 10, div=0.0), ValueError, "div and final div must be positive"),
        (lambda: s.sgdr(1.0, 10, 0), ValueError, "sgdr: mult must be an integer"),
        (lambda: s.warmup(3, 0.1), TypeError, r"warmup: then must be .* constant\(x\)"),
        (lambda: s.piecewise([1.0], [3]), ValueError, "boundaries must be one fewer than values"),
        (lambda: s.piecewise([1.0, 2.0, 3.0], [5, 3]), ValueError, "boundaries must rise"),
        (lambda: s.piecewise([1.0, "x"], [5]), ValueError, r"values\[1\] must be a finite number"),
        (lambda: s.join([s.constant(1.0), 2.0], [5]), TypeError, r"schedules\[1\] must be a function"),
        (lambda: s.join([s.constant(1.0)] * 3, [5]), ValueError, "one fewer than schedules"),
        (lambda: s.every(0), ValueError, "every: k must be an integer of at least 1"),
        (lambda: s.every(3, phase=-1), ValueError, "phase must be an integer of at least 0"),
        (lambda: s.scale(0.5), TypeError, "scale: by must be a function of the step"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def halving(t: int, start: float, n: int) -> float:
    """Half every n steps."""
    return start * 0.5 ** (t // n)


def test_a_users_own_schedule_is_one_function(monkeypatch):
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))
    own = s.schedule(at_least_two_must_hold=lambda n: n >= 2)(halving)
    monkeypatch.setitem(globals(), "halving", own)  # where a decorator would have put it
    assert own(0.1, 2).make is own
    assert _registry.get("halving").kind == "schedule"
    assert [own(0.8, 2)(t) for t in range(5)] == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert pickle.loads(pickle.dumps(own(0.8, 2))) == own(0.8, 2)
    with pytest.raises(ValueError, match="halving: at least two must hold; got n=1"):
        own(0.1, 1)


def test_drawn_numbers_have_their_distribution_and_differ_by_seed():
    flat = [s.drawn_uniformly(2.0, 3.0, seed=1)(t) for t in range(4000)]
    assert min(flat) >= 2.0 and max(flat) < 3.0 and abs(sum(flat) / 4000 - 2.5) < 0.02
    drawn = [s.drawn_exponentially(2.0)(t) for t in range(4000)]
    assert min(drawn) >= 0 and abs(sum(drawn) / 4000 - 2.0) < 0.15
    assert abs(sum(x > 2.0 for x in drawn) / 4000 - math.exp(-1)) < 0.03
    assert s.drawn_exponentially(2.0, seed=1)(7) != s.drawn_exponentially(2.0)(7)
