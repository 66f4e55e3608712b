"""Batch sizes that follow noise: tests against their formulas, and a loader that grows and resumes."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from piste import batches
from piste.batches import AdaptiveBatchSampler, GradientNoiseScale

ROWS = np.random.default_rng(0).normal(size=(20, 7)) + 0.4
GRADIENTS = {"a": torch.from_numpy(ROWS[:, :4]).reshape(20, 2, 2), "b": torch.from_numpy(ROWS[:, 4:])}


def test_the_tests_as_formulas():
    g, mean = ROWS, ROWS.mean(0)
    size = mean @ mean
    assert batches.norm_test(GRADIENTS, 0.3) == pytest.approx(g.var(0, ddof=1).sum() / (0.09 * size))
    assert batches.coordinate_test(GRADIENTS, 0.3) == pytest.approx(
        (g.var(0, ddof=1) / (0.09 * mean**2)).max()
    )
    along = g @ mean
    inner = along.var(ddof=1) / (0.04 * size**2)
    assert batches.inner_product_test(GRADIENTS, 0.2) == pytest.approx(inner)
    across = (g - np.outer(along / size, mean)).var(0, ddof=1).sum() / (0.25 * size)
    assert batches.orthogonality_test(GRADIENTS, 0.5) == pytest.approx(across)
    assert batches.augmented_inner_product_test(GRADIENTS, 0.2, 0.5) == pytest.approx(max(inner, across))


@given(st.floats(1e-3, 1e3))
def test_units_do_not_matter(scale):
    grown = {n: scale * t for n, t in GRADIENTS.items()}
    for test in (batches.norm_test, batches.coordinate_test, batches.augmented_inner_product_test):
        assert test(grown) == pytest.approx(test(GRADIENTS), rel=1e-6)


def test_noise_along_and_across_the_gradient():
    mean = torch.tensor([3.0, 4.0], dtype=torch.float64)
    noise = torch.tensor([1.0, -1.0, 2.0, -2.0], dtype=torch.float64)
    along = {"w": mean + noise.unsqueeze(1) * mean / 5}
    assert batches.inner_product_test(along) == pytest.approx(batches.norm_test(along))
    assert batches.orthogonality_test(along) == pytest.approx(0, abs=1e-12)
    across = {"w": mean + noise.unsqueeze(1) * torch.tensor([-4.0, 3.0]) / 5}
    assert batches.inner_product_test(across) == pytest.approx(0, abs=1e-12)
    assert batches.orthogonality_test(across) == pytest.approx(batches.norm_test(across))


def test_extremes():
    equal = {"w": torch.ones(5, 3)}
    assert batches.norm_test(equal) == 0.0
    lost = {"w": torch.tensor([[1.0], [-1.0]])}
    assert (
        batches.norm_test(lost)
        == batches.coordinate_test(lost)
        == batches.orthogonality_test(lost)
        == math.inf
    )
    with pytest.raises(ValueError, match="two samples or more; got 1"):
        batches.norm_test({"w": torch.ones(1, 3)})
    with pytest.raises(ValueError, match="its share must be over 0"):
        batches.norm_test(equal, 0.0)


def test_gradients_of_samples_average_to_the_batchs():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    net[0].bias.requires_grad_(False)
    x, y = torch.randn(9, 4, dtype=torch.float64), torch.randint(3, (9,))
    found = batches.per_sample_gradients(net, F.cross_entropy, x, y, chunk_size=4)
    F.cross_entropy(net(x), y).backward()
    assert "0.bias" not in found
    for name, g in found.items():
        torch.testing.assert_close(g.mean(0), net.get_parameter(name).grad)


def test_the_noise_scale_is_unbiased_and_not_the_mean_of_ratios():
    g = np.random.default_rng(1)
    d, small, large, steps = 50, 4, 64, 4000
    mean, sd = g.normal(size=d) * 0.1, 1.0
    scale = GradientNoiseScale(beta=0.0)
    seen, ratios = [], []
    for _ in range(steps):
        samples = mean + sd * g.normal(size=(large, d)) / 1.0
        a, b = samples[:small].mean(0), samples.mean(0)
        scale.update(a @ a, small, b @ b, large)
        seen.append((scale.signal, scale.noise))
        ratios.append(scale.noise / scale.signal)
    signal, noise = np.mean(seen, 0)
    assert noise == pytest.approx(d * sd**2, rel=0.02)
    assert signal == pytest.approx(mean @ mean, rel=0.15)
    assert abs(np.mean(ratios) - noise / signal) > 0.2 * noise / signal


def test_the_noise_scale_resumes_and_refuses():
    scale = GradientNoiseScale()
    assert math.isnan(scale.value)
    scale.update(3.0, 2, 1.0, 8)
    other = GradientNoiseScale()
    other.load_state_dict(scale.state_dict())
    for s in (scale, other):
        s.update(4.0, 2, 2.0, 8)
    assert scale.value == other.value > 0
    lost = GradientNoiseScale()
    lost.update(8.0, 1, 1.0, 8)
    assert lost.value == math.inf
    with pytest.raises(ValueError, match="must be positive and differ"):
        scale.update(1.0, 8, 1.0, 8)
    with pytest.raises(ValueError, match="must be finite"):
        scale.update(math.nan, 2, 1.0, 8)
    with pytest.raises(ValueError, match="beta must be"):
        GradientNoiseScale(1.0)


@given(st.integers(1, 60), st.integers(1, 9), st.lists(st.floats(0, 40), max_size=6))
def test_an_epoch_is_a_permutation_however_the_batch_grows(samples, batch, asked):
    sampler = AdaptiveBatchSampler(samples, batch, most=20)
    sizes, seen = [], []
    wanted = iter(asked)
    for rows in sampler:
        sizes.append(len(rows))
        seen += rows
        sampler.grow(next(wanted, math.nan))
    assert sorted(seen) == list(range(samples))
    assert sizes[:-1] == sorted(sizes[:-1])
    assert max(sizes) <= 20
    assert sampler.epoch == 1


def test_epochs_differ_and_repeat():
    def epochs(seed):
        sampler = AdaptiveBatchSampler(30, 7, 7, seed)
        return [[*sampler], [*sampler]]

    first, second = epochs(0)
    assert first != second
    assert epochs(0) == [first, second]
    assert epochs(1) != [first, second]


def test_the_loader_resumes_in_the_middle():
    data = TensorDataset(torch.arange(50))
    sampler = AdaptiveBatchSampler(50, 4, 16, seed=3)
    whole = []
    for i, (x,) in enumerate(DataLoader(data, batch_sampler=sampler)):
        whole.append(x.tolist())
        if i == 2:
            state = sampler.state_dict()
        sampler.grow(4 + i)
    again = AdaptiveBatchSampler(50, 1, 16)
    again.load_state_dict(state)
    assert len(again) == math.ceil((50 - sum(map(len, whole[:3]))) / state["batch"])
    rest = []
    for i, (x,) in enumerate(DataLoader(data, batch_sampler=again), 3):
        if i == 3:  # it was told after the state was taken
            assert again.batch == state["batch"]
        rest.append(x.tolist())
    assert sorted(chain(*rest)) == sorted(chain(*whole[3:]))


def test_growing_only_grows_and_stops_at_most():
    sampler = AdaptiveBatchSampler(100, 8, 32)
    assert [sampler.grow(x) for x in (3, 8.2, 2, math.nan, 1e9, math.inf)] == [8, 9, 9, 9, 32, 32]
    with pytest.raises(ValueError, match="most at least batch"):
        AdaptiveBatchSampler(100, 8, 4)


def test_pieces_add_up_to_the_batch():
    torch.manual_seed(0)
    net, x, y = nn.Linear(4, 3).double(), torch.randn(11, 4, dtype=torch.float64), torch.randint(3, (11,))
    F.cross_entropy(net(x), y).backward()
    want = net.weight.grad.clone()
    net.zero_grad()
    for (part, target), share in batches.pieces((x, y), 4):
        (share * F.cross_entropy(net(part), target)).backward()
    torch.testing.assert_close(net.weight.grad, want)
    with pytest.raises(ValueError, match="most is a count"):
        next(batches.pieces((x, y), 0))


def test_the_norm_test_drives_a_loader():
    """Near the minimum the gradient is noise: the batch has grown by then, and more for a smaller η."""

    def final(eta):
        torch.manual_seed(0)
        x = torch.randn(256, 5)
        y = x @ torch.randn(5, 1) + 0.5 * torch.randn(256, 1)
        net = nn.Linear(5, 1)
        opt = torch.optim.Adagrad(net.parameters(), lr=0.3)
        sampler = AdaptiveBatchSampler(256, 4, 128)
        sizes = []
        for _ in range(3):
            for a, b in DataLoader(TensorDataset(x, y), batch_sampler=sampler):
                grads = batches.per_sample_gradients(net, F.mse_loss, a, b)
                opt.zero_grad()
                F.mse_loss(net(a), b).backward()
                opt.step()
                if len(a) > 1:
                    sampler.grow(batches.norm_test(grads, eta))
                sizes.append(sampler.batch)
        assert sizes == sorted(sizes)
        return sizes[-1]

    assert 4 < final(2.0) <= final(0.5)
