"""Codecs of weights."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piste._storage import uniform_bits
from piste._storage.resolve import WEIGHTS

from .test_codecs import same

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or abs(x) > 1e-30)


def stored(codec, x, key=1):
    parts = {k: torch.zeros(s, dtype=d) for k, (s, d) in codec.parts(tuple(x.shape)).items()}
    return codec.encode(x, parts, uniform_bits(x, key))


@pytest.mark.parametrize("name", WEIGHTS)
def test_parts_are_as_declared_and_masters_encode_to_themselves(name):
    codec, x = WEIGHTS[name], torch.randn(37, 5)
    before, kept = x.clone(), stored(WEIGHTS[name], x)
    assert {k: (tuple(t.shape), t.dtype) for k, t in kept.items()} == codec.parts((37, 5))
    master = codec.decode(kept)
    assert master.dtype == torch.float32 and torch.equal(x, before)
    assert same(stored(codec, master, key=2), kept)


@pytest.mark.parametrize(
    "name, bound", [("bf16_kahan", 2**-16), ("bf16_kahan_fp32", 0), ("bf16_error_bits", 2**-16)]
)
@given(x=st.lists(FLOATS.filter(lambda x: abs(x) < 3e38), min_size=1, max_size=40))
def test_masters_are_as_precise_as_stated(name, bound, x):
    x = torch.tensor(x, dtype=torch.float32)
    codec = WEIGHTS[name]
    assert ((codec.decode(stored(codec, x)).double() - x).abs() <= bound * x.abs().double()).all()


def test_the_weight_of_24_bits_is_within_a_hair_of_the_nearest_bf16():
    x = torch.randn(10_000)
    kept = stored(WEIGHTS["bf16_error_bits"], x)
    assert ((kept[""].float() - x).abs() <= x.abs() * (2.0**-8 + 2.0**-16)).all()
    assert kept["error"].min() == -128 and kept["error"].max() == 127  # all eight bits carry


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_is_not_finite_stays_what_it_is(name):
    quiet = torch.tensor([0x7FFFFFFF, 0x7F800001, -1], dtype=torch.int32).view(torch.float32)
    codec = WEIGHTS[name]
    assert codec.decode(stored(codec, quiet)).isnan().all()
    x = torch.tensor([math.inf, -math.inf, 0.0, -0.0])
    assert torch.equal(codec.decode(stored(codec, x)), x)


def test_stochastic_rounding_takes_a_neighbour_and_is_right_in_the_mean():
    codec, count = WEIGHTS["bf16_stochastic"], 1 << 16
    for value in (1 + 2.0**-10, -3.0 - 2.0**-9, 1e-5 * math.pi, 0.7e20):
        x = torch.full((count,), value)
        got = codec.decode(stored(codec, x)).double()
        near = got.unique()
        assert len(near) == 2 and near[0] < value < near[1]
        # all 2^16 patterns of noise would give the mean exactly; random ones its deviation, sqrt(p (1 - p) / count)
        step = near[1] - near[0]
        assert abs(got.mean() - x.double().mean()) < 4 * step * 0.5 / math.sqrt(count)
    every = torch.arange(count, dtype=torch.int32)
    x = torch.full((count,), 1 + 2.0**-10)
    assert codec.decode(codec.encode(x, {}, every)).double().mean() == x[0].double()


def test_stochastic_rounding_without_noise_names_the_remedy():
    with pytest.raises(ValueError, match="uniform_bits"):
        WEIGHTS["bf16_stochastic"].encode(torch.ones(3), {})


@pytest.mark.parametrize("name", WEIGHTS)
def test_tiny_steps_add_up_where_plain_bf16_stands_still(name):
    codec, step, count = WEIGHTS[name], 2.0**-13, 512
    plain, kept = torch.ones(256).bfloat16(), stored(codec, torch.ones(256))
    for i in range(count):
        plain = (plain.float() + step).bfloat16()
        kept = stored(codec, codec.decode(kept) + step, key=i)
    assert (plain == 1).all()
    moved = codec.decode(kept).mean() - 1
    # stochastic: each of 256 walks has a deviation of at most sqrt(count * step * 2^-7), their mean a 16th of it
    assert abs(moved - count * step) < (4 * math.sqrt(count * step * 2.0**-7) / 16 if codec.noisy else 1e-3)


def test_noise_is_uniform_and_does_not_depend_on_the_cut():
    whole = uniform_bits(torch.empty(64, 1024), 12345)
    assert whole.dtype == torch.int32 and whole.min() >= 0 and whole.max() < 2**16
    halves = torch.stack([((whole >> b) & 1).double().mean() for b in range(16)])
    assert ((halves - 0.5).abs() < 4 * 0.5 / math.sqrt(whole.numel())).all()
    rows = torch.arange(1024 * 16, 1024 * 32)
    assert torch.equal(uniform_bits(torch.empty(16, 1024), 12345, rows), whole[16:32])
    assert not torch.equal(uniform_bits(torch.empty(64, 1024), 12346), whole)
