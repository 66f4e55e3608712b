"""Averages outside the optimizer: windows, snapshots, copies of layers, layers that keep magnitudes."""

from __future__ import annotations

import contextlib
import io
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import piste
from piste import chain
from piste.averaging import (
    SWAD,
    DeepCombination,
    MPConv,
    MPFourier,
    MPLinear,
    Snapshots,
    mp_cat,
    mp_silu,
    mp_sum,
    normalize,
    post_hoc,
)
from piste.linalg.profiles import exponent, mixture
from piste.transforms import descend, power_ema

# SWAD ---------------------------------------------------------------------------------------------------------------

VALLEY = [9, 8, 7, 6, 5, 4, 3, 2, 1, 1.1, 1.05, 1.1, 1.2, 1.1, 1.3, 1.2, 2, 3, 4, 5, 6, 7, 8, 9]


def walked(losses, steps: int = 2, **hyper):
    """Iterate number i is at i; `steps` of them to each evaluation."""
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    swad = SWAD([p], **hyper)
    at = 0
    for loss in losses:
        for _ in range(steps):
            p.data.fill_(float(at))
            swad.step()
            at += 1
        swad.evaluated(loss)
        if swad.dead:
            break
    return p, swad


def test_the_window_of_a_valley():
    """The minimum is evaluation 8; the bound 1.3 (1 + 1.1 + 1.05)/3 = 1.365 is exceeded from 16 on."""
    _, swad = walked(VALLEY)
    assert swad.bound == pytest.approx(1.365)
    assert swad.dead and len(swad.losses) == 22
    first, last = 2 * 8, 2 * 15 + 1
    assert swad.average()[0].item() == pytest.approx((first + last) / 2)


def test_without_an_end_the_window_reaches_to_the_present():
    _, swad = walked(VALLEY[:14])
    assert not swad.dead
    assert swad.average()[0].item() == pytest.approx((2 * 8 + 2 * 13 + 1) / 2)


def test_every_iterate_counts_alike_however_evaluations_fall():
    p = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    swad = SWAD([p], n_converge=1, tolerance=100.0)
    points = [3.0, -1.0, 4.0, 10.0, 5.0, 7.0]
    for i, x in enumerate(points):
        p.data.fill_(x)
        swad.step()
        if i in (0, 3, 5):
            swad.evaluated(1.0)
    assert swad.average()[0].item() == pytest.approx(sum(points) / 6)


def test_the_window_resumes():
    for cut in (1, 5, 9, 12, 18):
        p, swad = walked(VALLEY[:cut])
        file = io.BytesIO()
        torch.save(swad.state_dict(), file)
        file.seek(0)
        again = SWAD([p])
        again.load_state_dict(torch.load(file, weights_only=True))
        at = 2 * cut
        for loss in VALLEY[cut:]:
            for _ in range(2):
                p.data.fill_(float(at))
                again.step()
                at += 1
            again.evaluated(loss)
        assert torch.equal(again.average()[0], walked(VALLEY)[1].average()[0])


def test_the_window_is_shown_and_taken_away():
    p, swad = walked(VALLEY)
    before = p.detach().clone()
    with contextlib.suppress(RuntimeError), swad.averaged():
        assert p.item() == pytest.approx(23.5)
        raise RuntimeError
    assert torch.equal(p.detach(), before)


def test_what_swad_refuses():
    p, swad = walked([3, 2, 1])
    with pytest.raises(ValueError, match="no valley yet, after 3 evaluations"):
        swad.average()
    with pytest.raises(ValueError, match="call step"):
        swad.evaluated(1.0)
    swad.step()
    with pytest.raises(ValueError, match="is NaN"):
        swad.evaluated(math.nan)
    with pytest.raises(ValueError, match="n_converge and n_tolerance"):
        SWAD([p], n_converge=0)


# lengths chosen afterwards ------------------------------------------------------------------------------------------


@piste.optimizer
def Grown(lr=0.1, length=0.1):
    return chain(descend(lr), power_ema(length=length))


def profile(length: float, steps: int) -> list[float]:
    """w_k = (k/T)^(γ+1) - ((k-1)/T)^(γ+1)."""
    g = exponent(length) + 1
    return [(k / steps) ** g - ((k - 1) / steps) ** g for k in range(1, steps + 1)]


def run(steps: int = 64, every: int = 8, folder=None):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    opt = Grown(net)
    snapshots = folder and Snapshots(opt, net, folder, every, dtype=torch.float64)
    path = []
    for _ in range(steps):
        for p in net.parameters():
            p.grad = torch.randn_like(p)
        opt.step()
        net[1].num_batches_tracked += 1
        path.append(net[0].weight.detach().clone())
        if snapshots:
            snapshots.step()
    return net, opt, path


@pytest.mark.parametrize("length", [0.05, 0.1])
def test_an_average_that_grows_with_the_run(length):
    net, opt, path = run()
    opt.param_groups[0]["length"] = length
    want = sum(w * p for w, p in zip(profile(length, 64), path, strict=True))
    with opt.averaged(net):
        torch.testing.assert_close(net[0].weight.detach(), want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("length", [0.02, 0.05, 0.2])
def test_the_exponent_of_a_length(length):
    """γ gives back the standard deviation of τ^γ on [0, 1]."""
    g = exponent(length)
    mean = (g + 1) / (g + 2)
    assert math.sqrt((g + 1) / (g + 3) - mean**2) == pytest.approx(length, rel=1e-9)


@pytest.mark.parametrize("length", [0.0, 0.3, -1])
def test_lengths_out_of_range(length):
    with pytest.raises(ValueError, match="the length of an average is its standard deviation"):
        exponent(length)


def test_a_kept_average_is_found_again_and_scale_does_not_matter():
    kept = [(exponent(x), t) for t in (10.0, 20.0, 40.0) for x in (0.05, 0.1)]
    x = mixture(kept, 0.1, 40.0)
    assert x.tolist() == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-9)
    twice = mixture([(g, 2 * t) for g, t in kept], 0.07, 80.0)
    assert twice.tolist() == pytest.approx(mixture(kept, 0.07, 40.0).tolist(), abs=1e-9)


def test_any_length_from_snapshots(tmp_path):
    net, _, path = run(folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 8
    for length, close in ((0.1, 1e-9), (0.07, 0.01), (0.15, 0.03)):
        want = sum(w * p for w, p in zip(profile(length, 64), path, strict=True))
        found = post_hoc(tmp_path, length)
        assert (found["0.weight"] - want).abs().max() < close
    assert found["1.num_batches_tracked"] == 64
    assert torch.equal(found["1.running_mean"], net[1].running_mean)
    early = post_hoc(tmp_path, 0.1, at=32)["0.weight"]
    want = sum(w * p for w, p in zip(profile(0.1, 32), path[:32], strict=True))
    assert (early - want).abs().max() < 1e-9


def test_more_snapshots_are_nearer(tmp_path):
    """The squared error of the profile falls with the fourth power of their number."""

    def error(n: int) -> float:
        times = [(i + 1) / n for i in range(n)]
        kept = [(exponent(x), t) for t in times for x in (0.05, 0.1)]
        x = mixture(kept, 0.15, 1.0)
        grid = torch.linspace(0, 1, 20_001, dtype=torch.float64)[1:]
        made = sum(
            float(w) * torch.where(grid <= t, (g + 1) * grid**g / t ** (g + 1), 0.0)
            for w, (g, t) in zip(x, kept, strict=True)
        )
        g = exponent(0.15)
        return float((made - (g + 1) * grid**g).square().mean())

    errors = [error(n) for n in (4, 8, 16)]
    assert errors[0] > 8 * errors[1] > 64 * errors[2]


def test_what_snapshots_refuse(tmp_path):
    net = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="AdamW keeps no power_ema"):
        Snapshots(piste.AdamW(net), net, tmp_path)
    opt = Grown(net)
    with pytest.raises(ValueError, match="begin with the first step"):
        Snapshots(opt, net, tmp_path).write()
    with pytest.raises(FileNotFoundError, match="no snapshots there"):
        post_hoc(tmp_path, 0.1)
    run(8, 4, tmp_path)
    with pytest.raises(ValueError, match="no snapshot at step 3 or before"):
        post_hoc(tmp_path, 0.1, at=3)
    (tmp_path / "out.safetensors").write_text("mine")
    with pytest.raises(FileExistsError):
        post_hoc(tmp_path, 0.1, tmp_path / "out.safetensors")


# combinations -------------------------------------------------------------------------------------------------------


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long() + (X[:, 2] > 0).long()


def test_equal_copies_are_the_model():
    plain, many = net().eval(), DeepCombination(net(), 4).eval()
    torch.testing.assert_close(many(X), plain(X))
    torch.testing.assert_close(many.draws()(X), plain(X))
    assert sum(p.numel() for p in many.parameters()) == 4 * (4 * 16 + 16 + 16 * 3 + 3) + 32


def test_training_reaches_all_copies_and_their_mean_is_the_model():
    many = DeepCombination(net(), 3)
    opt = torch.optim.SGD(many.parameters(), lr=0.3)
    torch.manual_seed(1)
    for _ in range(40):
        opt.zero_grad()
        many.consistency(X, lambda z: F.cross_entropy(z, Y))
        opt.step()
    many.eval()
    average = many.average().eval()
    torch.testing.assert_close(many(X), average(X))
    weights = [c.weight for c in many.model[0].copies]
    assert (weights[0] - weights[1]).norm() > 1e-3 and (weights[0] - weights[2]).norm() > 1e-3
    torch.testing.assert_close(average[0].weight, torch.stack([*weights]).mean(0))
    many.draws()
    with torch.no_grad():
        drawn = [float(F.cross_entropy(many(X), Y)) for _ in range(60)]
        assert float(F.cross_entropy(average(X), Y)) <= 1.05 * sum(drawn) / len(drawn)


def test_consistency_narrows_the_draws():
    def spread(weight: float) -> float:
        many = DeepCombination(net(), 3)
        opt = torch.optim.SGD(many.parameters(), lr=0.3)
        torch.manual_seed(2)
        for _ in range(150):
            opt.zero_grad()
            many.consistency(X, lambda z: F.cross_entropy(z, Y), weight=weight)
            opt.step()
        many.eval().draws()
        with torch.no_grad():
            answers = torch.stack([many(X).softmax(-1) for _ in range(40)])
        return float(answers.var(0).sum(-1).mean())

    assert spread(5.0) < spread(0.0)


def test_a_lone_layer_and_what_has_none():
    assert isinstance(DeepCombination(nn.Linear(3, 2), 2).average(), nn.Linear)
    with pytest.raises(ValueError, match="no linear or convolutional layer"):
        DeepCombination(nn.ReLU())
    with pytest.raises(ValueError, match="copies is a count"):
        DeepCombination(nn.Linear(2, 2), 0)


# magnitudes ---------------------------------------------------------------------------------------------------------


def rms(x: torch.Tensor) -> float:
    return float(x.detach().double().square().mean().sqrt())


def test_layers_keep_magnitudes():
    torch.manual_seed(0)
    x = torch.randn(256, 300)
    assert rms(MPLinear(300, 500)(x)) == pytest.approx(1, abs=0.02)
    assert rms(mp_silu(torch.randn(200_000))) == pytest.approx(1, abs=0.01)
    assert rms(mp_sum(x, torch.randn_like(x), 0.3)) == pytest.approx(1, abs=0.01)
    assert rms(mp_cat(x, torch.randn(256, 50), t=0.5)) == pytest.approx(1, abs=0.02)
    assert rms(MPFourier(2000)(torch.randn(100))) == pytest.approx(1, abs=0.02)
    image = MPConv(64, 32)(torch.randn(4, 64, 12, 12))
    assert rms(image[..., 1:-1, 1:-1]) == pytest.approx(1, abs=0.03)


def test_weights_return_to_their_sphere_in_training_only():
    layer = MPLinear(16, 8)
    with torch.no_grad():
        layer.weight.mul_(7)
    answer = layer.eval()(torch.ones(1, 16))
    assert rms(layer.weight) > 3
    torch.testing.assert_close(layer.train()(torch.ones(1, 16)), answer, rtol=1e-3, atol=1e-3)
    rows = layer.weight.detach().square().mean(1).sqrt()
    torch.testing.assert_close(rows, torch.ones(8), rtol=2e-3, atol=0)


def test_the_gradient_has_no_part_along_the_weight():
    layer = MPLinear(16, 8).double()
    layer(torch.randn(5, 16, dtype=torch.float64)).square().sum().backward()
    layer.zero_grad()
    (layer(torch.randn(5, 16, dtype=torch.float64)) ** 3).sum().backward()
    along = (layer.weight.grad * layer.weight.detach()).sum(1)
    assert along.abs().max() < 2e-3 * layer.weight.grad.norm()


def test_normalize_over_any_axes():
    x = torch.randn(4, 5, 6)
    torch.testing.assert_close(normalize(x, -1).square().mean(-1), torch.ones(4, 5), rtol=1e-3, atol=0)
    torch.testing.assert_close(normalize(x).square().mean((1, 2)), torch.ones(4), rtol=1e-3, atol=0)
