"""Clipped, median, normalized and recursive methods: options, samples that differ, games, what is refused."""

from __future__ import annotations

import pytest
import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from reference import clippedsstm, clipradagradd, mediansgd, normalizedspider, samplemediansgd


@pytest.mark.parametrize("factory, book, hyper", [
    (piste.MedianSGD, mediansgd, {"coordinates": True, "radius": 0.5, "weight_decay": 0.1}),
    (piste.MedianSGD, mediansgd, {"radius": 1e6}),
    (piste.ClipRAdaGradD, clipradagradd, {"coordinates": True, "eta": 0.5, "lr": 0.01, "weight_decay": 0.1}),
])  # fmt: skip
def test_options_are_in_the_textbook(factory, book, hyper):
    params, grads = problem(SHAPES, steps=25)
    live = start(params)
    assert (
        distance(follow(factory(live, **hyper), live, grads), book.reference(params, grads, **hyper)) < 1e-12
    )


def test_a_wide_median_is_plain_sgd_and_a_normalized_power_of_zero_momentum():
    params, grads = problem(SHAPES, steps=10)
    one, other, third, fourth = (start(params) for _ in range(4))
    plain = follow(piste.SGD(other, lr=0.1), other, grads)
    assert distance(follow(piste.MedianSGD(one, lr=0.1, radius=1e6), one, grads), plain) < 1e-14
    bare = piste.NormalizedSGD(third, lr=0.1, momentum=0.0, power=0.0)
    assert distance(follow(bare, third, grads), plain) < 1e-14
    clipped = piste.ClippedSGD(fourth, lr=0.1, max_norm=1e6)
    assert distance(follow(clipped, fourth, grads), plain) < 1e-14


def test_the_view_of_similar_triangles_is_their_y():
    params, grads = problem(SHAPES, steps=12)
    live = start(params)
    optimizer = piste.ClippedSSTM(live, lr=0.05, max_norm=10.0)
    follow(optimizer, live, grads)
    with optimizer.averaged():
        shown = [p.detach().clone() for p in live]
    assert distance(shown, clippedsstm.points(params, grads, 0.05, 10.0)[1]) < 1e-12


def test_a_step_of_similar_triangles_at_rate_zero_is_left_out_of_the_average():
    params, grads = problem(SHAPES, steps=6)
    live = start(params)
    optimizer = piste.ClippedSSTM(live, lr=0.05)
    follow(optimizer, live, grads[:3])
    views = []
    for rate in (0.05, 0.0):
        optimizer.param_groups[0]["lr"] = rate
        follow(optimizer, live, grads[3:5] if rate == 0 else [])
        with optimizer.averaged():
            views.append([p.detach().clone() for p in live])
    assert distance(*views) < 1e-14


def noisy(losses, live, optimizer):
    """A closure with the next loss at every call."""
    feed = iter(losses)

    def closure():
        optimizer.zero_grad()
        value = next(feed)(live)
        value.backward()
        return value

    return closure


def drawn(count, seed=0):
    """Losses of one shape with other targets."""
    make = torch.Generator().manual_seed(seed)
    shifts = [torch.randn(7, generator=make, dtype=torch.float64) for _ in range(count)]
    return [lambda w, s=s: ((w[0] @ w[1] - s[:3]) ** 4).sum() + (w[1] * s[3:]).sum() for s in shifts]


def weights_of_a_product(seed=1):
    make = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=make, dtype=torch.float64) for s in ((3, 4), (4,))]


@pytest.mark.parametrize("samples", [1, 4, 5])
def test_samples_give_their_median(samples):
    params, losses = weights_of_a_product(), drawn(10 * samples)
    live = start(params)
    optimizer = piste.SampleMedianSGD(live, lr=0.01, samples=samples)
    closure = noisy(losses, live, optimizer)
    for k in range(10):
        reported = optimizer.step(closure)
        several = losses[k * samples : (k + 1) * samples]
        values = [loss(params) for loss in several]
        runs = []
        for loss in several:
            leaves = [p.clone().requires_grad_() for p in params]
            runs.append(torch.autograd.grad(loss(leaves), leaves))
        params = [
            p - 0.01 * samplemediansgd.median(list(g))
            for p, g in zip(params, zip(*runs, strict=True), strict=True)
        ]
        assert reported == pytest.approx(float(torch.stack(values).mean()))
    assert distance([p.detach() for p in live], params) < 1e-12


def test_spider_follows_batches_that_change():
    params, losses = weights_of_a_product(), drawn(20)
    live = start(params)
    optimizer = piste.NormalizedSPIDER(live, lr=0.02, period=6, weight_decay=0.1)
    for loss in losses:
        optimizer.step(noisy([loss, loss], live, optimizer))
    want = normalizedspider.on_batches(params, losses, 0.02, 6, 0.1)
    assert distance([p.detach() for p in live], want) < 1e-12


def test_extragradient_stops_where_descent_circles():
    """min over x, max over y of x·y: the players' slopes are y and -x."""

    def play(factory, **hyper):
        x, y = (torch.nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
        optimizer = factory([x, y], **hyper)

        def closure():
            x.grad, y.grad = y.detach().clone(), -x.detach()
            return (x * y).sum().detach()

        for _ in range(200):
            optimizer.step(closure)
        return float(torch.stack([x.detach(), y.detach()]).norm())

    assert play(piste.ClippedSEG, lr=0.3, max_norm=0.5) < 1e-2
    assert play(piste.ClippedSGD, lr=0.3, max_norm=0.5) > 0.5


@pytest.mark.parametrize("name, hyper, said", [
    ("MedianSGD", {"radius": 0.0}, "radius must be positive"),
    ("SampleMedianSGD", {"samples": 0}, "samples must be at least 1"),
    ("ClipRAdaGradD", {"initial_accumulator_value": 0.0}, "the authors' is 1e-4"),
    ("ClippedSGD", {"max_norm": 0.0}, "ClippedSGD: max_norm must be positive"),
    ("ClippedSSTM", {"max_norm": 0.0}, "ClippedSSTM: max_norm must be positive"),
    ("ClippedSEG", {"max_norm": 0.0}, "ClippedSEG: max_norm must be positive"),
    ("NormalizedSGD", {"power": 1.5}, "power must lie in"),
    ("NormalizedSPIDER", {"period": 0}, "period must be at least 1"),
])  # fmt: skip
def test_bad_hyperparameters_are_refused(name, hyper, said):
    with pytest.raises(ValueError, match=said):
        getattr(piste, name)([torch.nn.Parameter(torch.ones(2))], **hyper)
