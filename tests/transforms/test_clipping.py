"""Clips against their textbook and torch; what they show while somebody looks; where they belong."""

from __future__ import annotations

import warnings

import pytest
import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start
from piste import chain
from piste.transforms import (
    clip_by_component_norm,
    clip_by_global_norm,
    clip_by_unit_norm,
    clip_by_value,
    clip_by_zscore,
    descend,
    ema,
    orthogonalize,
    scale_by_adam,
)
from reference import clipping


@piste.optimizer
def NormClippedSGD(lr=0.1, max_norm=1.0):
    return chain(clip_by_global_norm(max_norm), descend(lr))


@piste.optimizer
def ValueClippedSGD(lr=0.1, clip_value=0.5):
    return chain(clip_by_value(clip_value), descend(lr))


@piste.optimizer
def UnitClippedSGD(lr=0.1, clipping=0.1, eps=1e-3):
    return chain(clip_by_unit_norm(clipping, eps), descend(lr))


@piste.optimizer
def ComponentClippedSGD(lr=0.1, component=1.0):
    return chain(clip_by_component_norm(component), descend(lr))


@piste.optimizer
def ZClippedSGD(lr=0.1, alpha=0.97, z_thresh=2.5, max_norm=1.0, warmup_steps=25):
    return chain(clip_by_zscore(alpha, z_thresh, max_norm, warmup_steps), descend(lr))


@piste.optimizer
def NormClippedAdam(lr=0.1, max_norm=1.0):
    return chain(clip_by_global_norm(max_norm), scale_by_adam(0.9, 0.999, 1e-8), descend(lr))


CLIPS = [
    (NormClippedSGD, {"max_norm": 1.0}),
    (NormClippedSGD, {"max_norm": 1e3}),
    (ValueClippedSGD, {"clip_value": 0.5}),
    (UnitClippedSGD, {"clipping": 0.1}),
    (UnitClippedSGD, {"clipping": 1e3}),
    (ComponentClippedSGD, {"component": 1.5}),
]


@pytest.mark.parametrize("factory, hyper", CLIPS)
def test_clips_are_their_textbook(factory, hyper):
    params, grads = problem([*SHAPES, (4, 3, 2, 2)], steps=10)
    live = start(params)
    got = follow(factory(live, **hyper), live, grads)
    assert distance(got, clipping.reference(params, grads, **hyper)) < 1e-12


def test_the_norm_is_the_whole_models_across_groups_and_optimizers():
    """Two groups with different chains behind the same clip meet at it."""
    params, grads = problem(SHAPES, steps=5)
    live, other = start(params), start(params)
    optimizer = NormClippedSGD(
        [
            NormClippedSGD.group(live[:2]),
            NormClippedSGD.group(live[2:4], lr=0.2),
            NormClippedAdam.group(live[4:]),
        ]
    )
    got = follow(optimizer, live, grads)
    plain = piste.SGD([{"params": other[:2]}, {"params": other[2:4], "lr": 0.2}], lr=0.1)
    adam = piste.Adam(other[4:], lr=0.1)
    for row in grads:
        for p, g in zip(other, row, strict=True):
            p.grad = g.clone()
        torch.nn.utils.clip_grad_norm_(other, 1.0)
        plain.step()
        adam.step()
    assert distance(got, [p.detach() for p in other]) < 1e-5  # torch adds 1e-6 to the norm


def test_no_gradient_at_all_is_not_divided_by():
    params, _ = problem(SHAPES, steps=1)
    zero = [[torch.zeros_like(p) for p in params]]
    for factory, hyper in CLIPS:
        live = start(params)
        assert distance(follow(factory(live, **hyper), live, zero), params) == 0


@pytest.mark.parametrize("factory, hyper, share", [
    (NormClippedSGD, {"max_norm": 1e-3}, 1.0),
    (NormClippedSGD, {"max_norm": 1e3}, 0.0),
    (ValueClippedSGD, {"clip_value": 1.0}, 0.25),
    (UnitClippedSGD, {"clipping": 1.0}, 0.5),
    (ComponentClippedSGD, {"component": 1.0}, 1.0),
])  # fmt: skip
def test_metrics_show_the_clipped_share(factory, hyper, share):
    """Two rows of unit weights: one gradient row of norm 2, one of norm 0.1; one entry in four above 1."""
    live = [torch.nn.Parameter(torch.full((2, 4), 0.5))]
    optimizer = factory(live, **hyper)
    optimizer.metrics(on=True)
    grad = torch.tensor([[1.4, 1.4, 0.2, 0.14], [0.05, 0.05, 0.05, 0.05]])
    follow(optimizer, live, [[grad]])
    assert optimizer.metrics()["clipped_share"] == pytest.approx(share)
    assert "clipped" not in optimizer.state[live[0]]


@pytest.mark.parametrize("view", ["(e m) n -> e m n | e=2", "m n -> m n | rows=1+3"])
def test_the_share_of_several_matrices_is_their_mean(view):
    """A batch of two, and two of unequal height."""
    live = [torch.nn.Parameter(torch.full((4, 4), 0.5))]
    optimizer = UnitClippedSGD([{**UnitClippedSGD.group(live, clipping=1.0), "view": view}])
    optimizer.metrics(on=True)
    grad = torch.full((4, 4), 0.05)
    grad[0] = 2.0
    follow(optimizer, live, [[grad]])
    share = {"(e": 0.25, "m": 0.5}[view.split()[0]]  # rows [1, 0 | 0, 0], and [1 | 0, 0, 0]
    assert optimizer.metrics()["clipped_share"] == pytest.approx(share)


def test_a_clip_behind_an_orthogonalized_update_warns():
    with pytest.warns(UserWarning, match="clip_by_global_norm comes after orthogonalize"):
        chain(ema(0.9), orthogonalize(5), clip_by_global_norm(1.0), descend(0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chain(clip_by_value(1.0), ema(0.9), orthogonalize(5), descend(0.1))


def spiky(steps=40):
    """Gradients of one size but for every ninth, which is fifty times as long."""
    params, grads = problem(SHAPES, steps=steps)
    return params, [[g * (5.0 if t % 9 == 8 else 0.1) for g in row] for t, row in enumerate(grads)]


@pytest.mark.parametrize("hyper", [
    {},
    {"max_norm": 1e9, "warmup_steps": 8},
    {"max_norm": 0.7, "warmup_steps": 12, "alpha": 0.9, "z_thresh": 2.0},
])  # fmt: skip
def test_the_zscore_clip_is_its_textbook(hyper):
    params, grads = spiky()
    live = start(params)
    got = follow(ZClippedSGD(live, **hyper), live, grads)
    assert distance(got, clipping.by_zscore(params, grads, **hyper)) < 1e-12


def test_spikes_are_cut_and_do_not_raise_the_threshold():
    params, grads = spiky()
    live = start(params)
    optimizer = ZClippedSGD(live, max_norm=1e9, warmup_steps=8)
    usual = sum(float(g.square().sum()) for g in grads[0]) ** 0.5
    for t, row in enumerate(grads):
        before = [p.detach().clone() for p in live]
        follow(optimizer, live, [row])
        moved = sum(float((p.detach() - b).square().sum()) for p, b in zip(live, before, strict=True)) ** 0.5
        assert moved < 0.1 * 1.6 * usual, t
    assert float(optimizer.state[live[0]]["norm_mean"]) < 1.3 * usual


def test_groups_share_the_norm_whose_outliers_are_cut():
    params, grads = spiky(20)
    one, several = start(params), start(params)
    hyper = {"warmup_steps": 8, "max_norm": 1e9}
    whole = follow(ZClippedSGD(one, **hyper), one, grads)
    groups = [{"params": several[:2]}, {"params": several[2:]}]
    assert distance(follow(ZClippedSGD(groups, **hyper), several, grads), whole) < 1e-14


def test_parts_of_a_fused_weight_are_components_of_their_own():
    """Query, key and value lie in one parameter; two are longer than the threshold."""
    live = [torch.nn.Parameter(torch.zeros(6, 3, dtype=torch.float64))]
    group = {**ComponentClippedSGD.group(live, lr=1.0, component=2.0), "view": "(t o) i -> t o i | t=3"}
    grad = torch.repeat_interleave(torch.tensor([0.1, 5.0, 1.0], dtype=torch.float64), 2).unsqueeze(1)
    got = follow(ComponentClippedSGD([group]), live, [[grad.expand(6, 3)]])[0]
    lengths = got.view(3, 6).norm(dim=1)
    want = torch.tensor([0.1 * 6**0.5, 2.0, 2.0], dtype=torch.float64)
    assert torch.allclose(lengths, want, rtol=1e-12)


def test_a_long_component_leaves_the_others_as_they_are():
    live = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    by_all = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    grads = [[torch.tensor([300.0, 400.0]), torch.tensor([0.0, 0.5])]]
    apart = follow(ComponentClippedSGD(live, lr=1.0), live, grads)
    together = follow(NormClippedSGD(by_all, lr=1.0), by_all, grads)
    assert torch.allclose(apart[0], torch.tensor([-0.6, -0.8])) and torch.equal(apart[1], -grads[0][1])
    assert float(together[1].norm()) < 2e-3
