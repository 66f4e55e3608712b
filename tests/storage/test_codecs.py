"""What holds of every codec of slots."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piste._storage.resolve import CODECS

BLOCKWISE = ("fp8", "int8", "int8_linear", "int8_dynamic", "int4")
CASTS = ("fp32", "bf16", "fp16")
CASES = [(name, kind) for name in (*CASTS, *BLOCKWISE) for kind in ("moment", "square")]
SHAPE = (16, 8, 48)


def made(codec, shape, kind, lead=1):
    """Empty parts as the engine would allocate them."""
    return {k: torch.zeros(s, dtype=d) for k, (s, d) in codec.parts(shape, kind, lead).items()}


def sample(shape, kind, spread=4.0, seed=0):
    """Numbers over many orders of magnitude."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=g) * 10 ** (torch.rand(shape, generator=g) * -spread)
    return x.square() if kind == "square" else x


def stored(codec, x, kind):
    return codec.encode(x, made(codec, tuple(x.shape), kind))


def same(a, b):
    """Bitwise."""
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and torch.equal(a[k].view(torch.uint8), b[k].view(torch.uint8)) for k in a
    )


@pytest.mark.parametrize("name, kind", CASES)
def test_parts_are_what_encode_returns_and_nothing_is_written_in_place(name, kind):
    codec, x = CODECS[name](kind), sample(SHAPE, kind)
    before, parts = x.clone(), made(codec, SHAPE, kind)
    new = codec.encode(x, parts)
    assert {k: (tuple(t.shape), t.dtype) for k, t in new.items()} == codec.parts(SHAPE, kind)
    assert torch.equal(x, before) and all(not t.to(torch.float32).any() for t in parts.values())
    kept = {k: t.clone() for k, t in new.items()}
    decoded = codec.decode(new)
    assert decoded.dtype == torch.float32 and decoded.numel() == x.numel() and same(new, kept)


@pytest.mark.parametrize("name, kind", CASES)
@given(seed=st.integers(0, 2**20), spread=st.sampled_from([0.0, 1.0, 4.0, 12.0]), size=st.integers(-20, 20))
def test_what_is_decoded_encodes_to_itself(name, kind, seed, spread, size):
    codec = CODECS[name](kind)
    size = size if name in BLOCKWISE else 0
    x = sample((32, 128), kind, spread, seed) * 10.0**size
    if name == "fp16":
        x = x.clamp(-6e4, 6e4)
    once = stored(codec, x, kind)
    assert same(codec.encode(codec.decode(once), once), once)


@pytest.mark.parametrize("name, kind", CASES)
def test_codes_commute_with_cutting_rows_and_with_block_form(name, kind):
    codec, x = CODECS[name](kind), sample((48, 8, 48), kind)
    whole = stored(codec, x, kind)
    for i in range(3):
        part = slice(16 * i, 16 * (i + 1))
        assert same(stored(codec, x[part], kind), {k: t[part] for k, t in whole.items()})
    if "scale" in whole:
        flat = {"": whole[""].reshape(whole["scale"].numel(), -1), "scale": whole["scale"].reshape(-1, 1)}
        assert torch.equal(codec.decode(flat).reshape(x.shape), codec.decode(whole).view(x.shape))
        again = codec.encode(x.reshape(flat["scale"].numel(), -1), flat)
        assert same(again, flat)


@pytest.mark.parametrize("name, kind", CASES)
def test_zeros_stay_zeros_of_either_sign(name, kind):
    codec = CODECS[name](kind)
    for zero in (torch.zeros(64, 64), -torch.zeros(64, 64)):
        assert not codec.decode(stored(codec, zero, kind)).any()
    x = sample((64, 64), kind)
    x[:, ::2] = -0.0
    back = codec.decode(stored(codec, x, kind)).view(x.shape)[:, ::2]
    lowest = (
        {"int8_linear": 1 / 256, "int8": 256.0**-4, "int4": 1 / 16}.get(name, 0.0)
        if kind == "square"
        else 0.0
    )
    assert (back <= x.amax(-1, keepdim=True) * lowest * (1 + 1e-6)).all() and (back >= 0).all()


@pytest.mark.parametrize("name", BLOCKWISE)
def test_no_square_above_zero_becomes_zero(name):
    x = sample((64, 64), "square", 15.0)
    codec = CODECS[name]("square")
    assert (codec.decode(stored(codec, x, "square")).view(x.shape)[x > 0] > 0).all()


@pytest.mark.parametrize("name, kind", [c for c in CASES if c[0] in BLOCKWISE])
@pytest.mark.parametrize("value", [1.0, 3.7e-9, 1.7e12])
def test_blocks_of_equal_values_and_largest_entries_are_exact(name, kind, value):
    value = -value if kind == "moment" else value
    codec, x = CODECS[name](kind), torch.full((64, 96), value)
    tolerance = 2.0**-23 if name == "int8_linear" else 0.0
    torch.testing.assert_close(codec.decode(stored(codec, x, kind)), x, rtol=tolerance, atol=0)
    x[:, 1:] *= torch.rand(64, 95, generator=torch.Generator().manual_seed(0)) * 0.9
    torch.testing.assert_close(codec.decode(stored(codec, x, kind))[:, 0], x[:, 0], rtol=tolerance, atol=0)


@pytest.mark.parametrize("name, kind", [c for c in CASES if c[0] in BLOCKWISE])
def test_denormals_become_zeros_and_what_is_not_finite_spoils_its_own_block_visibly(name, kind):
    codec = CODECS[name](kind)
    assert not codec.decode(stored(codec, torch.full((64, 64), 1e-40), kind)).any()
    for bad in (math.inf, math.nan) + (() if kind == "square" else (-math.inf,)):
        x = sample((64, 64), kind)
        x[3, 5] = bad
        back = codec.decode(stored(codec, x, kind)).view(x.shape)
        assert back[3].isnan().all() and back[:3].isfinite().all() and back[4:].isfinite().all()


@pytest.mark.parametrize("name", BLOCKWISE)
def test_what_cannot_bear_blocks_stays_plain(name):
    codec = CODECS[name]("moment")
    assert codec.parts((4096,), "moment") is None  # a vector
    assert codec.parts((63, 64), "moment") is None  # small
    assert codec.parts((4096, 31), "moment") is None  # narrow
    assert codec.parts((64, 251 * 2 + 1), "moment") is None  # 503 is prime
    assert codec.parts((4096, 1), "moment") is None  # one number a row
    assert codec.parts((64, 64), "index") is None and codec.parts((64, 64), "scalar") is None
    scale = codec.parts((4, 64, 64, 3, 3), "moment", lead=2)["scale"][0]
    assert scale[:2] == (4, 64) and 576 % scale[-1] == 0  # a window: no block spans two rows of the parameter


@pytest.mark.parametrize(
    "name, kind, bytes_per_number",
    [("int8", "moment", 1 + 4 / 256), ("int8", "square", 1 + 4 / 256), ("fp8", "moment", 1 + 4 / 256),
     ("int4", "moment", 0.5 + 4 / 128), ("bf16", "square", 2), ("fp16", "moment", 2), ("fp32", "moment", 4)],
)  # fmt: skip
def test_bytes_are_the_sum_of_the_parts(name, kind, bytes_per_number):
    codec, shape = CODECS[name](kind), (128, 512)
    declared = sum(math.prod(s) * d.itemsize for s, d in codec.parts(shape, kind).values())
    assert declared == bytes_per_number * math.prod(shape)
    assert declared == sum(
        t.numel() * t.element_size() for t in stored(codec, sample(shape, kind), kind).values()
    )


def test_two_moments_in_eight_bits_cost_less_than_2_1_bytes_a_parameter():
    codecs = [CODECS["int8"](k).parts((1024, 4096), k) for k in ("moment", "square")]
    total = sum(math.prod(s) * d.itemsize for parts in codecs for s, d in parts.values())
    assert total / (1024 * 4096) < 2.1
