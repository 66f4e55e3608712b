"""Codes against their tables, and their errors against what the tables allow."""

from __future__ import annotations

import pytest
import torch

from piste._storage.dynamic import Dynamic, magnitude, signed_value
from piste._storage.linear import Linear
from piste._storage.nibbles import Nibbles, pack, unpack
from piste._storage.roots import FourthRoot, SignedRoot
from piste._storage.words import Words

from . import tables
from .test_codecs import CODECS, made, sample, stored


@pytest.mark.parametrize("bits", [8, 4])
def test_signed_values_are_the_papers_table(bits):
    mine = signed_value(torch.arange(2**bits, dtype=torch.uint8), bits - 1)
    table = tables.dynamic(True, bits)
    torch.testing.assert_close(mine.double(), table, rtol=1e-6, atol=0)
    assert (mine - table).abs().max() < 1e-7


def test_unsigned_values_are_the_papers_table():
    mine = magnitude(torch.arange(256).float() + 1, 7, False)
    torch.testing.assert_close(mine.double(), tables.dynamic(False), rtol=1e-6, atol=0)
    assert (mine - tables.dynamic(False)).abs().max() < 1e-7


def sweep(signed):
    """Every middle between two codes, to both sides, every code, and numbers of all sizes; 1 leads each block."""
    table = tables.dynamic(signed).float()
    middles = (table[1:] + table[:-1]) / 2
    wide = 10.0 ** torch.linspace(-8, 0, 20_000)
    points = torch.cat(
        [table, middles * (1 - 1e-5), middles * (1 + 1e-5), wide, *([-wide[:-1]] if signed else [])]
    )
    rows = torch.nn.functional.pad(points, (0, -len(points) % 255)).view(-1, 255)
    return torch.cat([torch.ones(len(rows), 1), rows], 1)


@pytest.mark.parametrize("signed, scale", [(True, 1.0), (True, -3e-5), (False, 1.0), (False, 7e8)])
def test_the_dynamic_code_is_the_nearest(signed, scale):
    codec, x = Words("int8_dynamic", Dynamic(signed)), sweep(signed)
    error = (codec.decode(stored(codec, x * scale, "moment")) / scale - x).abs().double()
    allowed = tables.nearest(x, tables.dynamic(signed))
    if not signed:  # the first code also takes what is nearer to zero, save zero itself
        first = tables.dynamic(False)[1]
        allowed = torch.where((x > 0) & (x < first), first - x, allowed)
    assert (error <= allowed + 1e-8 + 3e-7 * x.abs()).all()


@pytest.mark.parametrize("signed, bound", [(True, 0.0071), (False, 0.0036)])
def test_the_dynamic_codes_largest_error_is_as_documented(signed, bound):
    codec, x = Words("int8_dynamic", Dynamic(signed)), sweep(signed)
    error = (codec.decode(stored(codec, x, "moment")) - x).abs().max()
    assert 0.97 * bound < error < bound


def test_a_block_led_by_a_negative_entry_keeps_it_exactly():
    x = sample((32, 256), "moment").clamp(-0.5, 0.5)
    x[:, 7] = -torch.rand(32) - 1
    codec = Words("int8_dynamic", Dynamic(True))
    kept = stored(codec, x, "moment")
    assert torch.equal(codec.decode(kept)[:, 7], x[:, 7]) and (kept[""] == 255).any(-1).all()


@pytest.mark.parametrize(
    "codec, bound",
    [
        (Words("linear", Linear(True)), 1 / 254),
        (Words("linear", Linear(False)), 1 / 256),
        (Nibbles(True), 0.1125),
        (Nibbles(False), 1 / 16),
    ],
)
def test_errors_of_other_codes_are_within_half_a_step(codec, bound):
    signed = getattr(codec, "code", codec).signed
    x = torch.rand(64, 128)
    x = x - 0.5 if signed else x
    error = (codec.decode(stored(codec, x, "moment")) - x).abs() / x.abs().amax(-1, keepdim=True)
    assert 0.5 * bound < error.max() <= bound * (1 + 1e-5)
    if not signed:  # half a step away from zero
        assert error[x > bound].max() <= bound / 2 * (1 + 1e-4)


def test_four_bit_moments_are_stored_as_the_nearest_of_their_table():
    x = sample((64, 128), "moment", 2.0)
    codec = CODECS["int4"]("moment")
    parts = stored(codec, x, "moment")
    y = x / parts["scale"]
    error = (codec.decode(parts) / parts["scale"] - y).abs().double()
    assert (error <= tables.nearest(y, tables.dynamic(True, 4)) + 0.006).all()  # 0.005: the code next to zero
    away = y.abs() > 0.03
    assert (error[away] <= tables.nearest(y, tables.dynamic(True, 4))[away] + 1e-6).all()


@pytest.mark.parametrize("code, power, steps", [(SignedRoot(), 2, 127), (FourthRoot(), 4, 256)])
def test_codes_of_roots_are_within_half_a_step_of_the_root(code, power, steps):
    """And what is above zero is not stored as zero where a root of it divides."""
    codec, x = Words("int8", code), sweep(power == 2)
    decoded = codec.decode(stored(codec, x, "moment"))
    assert (decoded.sign() * x.sign() >= 0).all()
    root, near = x.abs().double() ** (1 / power), decoded.abs().double() ** (1 / power)
    off = (near - root).abs() * steps
    seen = root * steps >= (1 if power == 4 else 0)
    assert 0.49 < off[seen].max() <= 0.5 + 1e-3
    assert torch.equal(decoded[:, 0], x[:, 0])
    if power == 4:
        assert (decoded > 0).all() and off.max() <= 1


@pytest.mark.parametrize("spread", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("kind", ["moment", "square"])
def test_codes_of_roots_lose_less_than_the_dynamic_code(kind, spread):
    """On numbers whose size varies within a block, by so many decades: less of the whole; of squares, by which steps
    are divided, also less of nearly every entry."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(256, 256, generator=g) * 10 ** (spread * torch.randn(256, 256, generator=g))
    x = x.square() if kind == "square" else x
    off = {name: CODECS[name](kind) for name in ("int8", "int8_dynamic")}
    off = {name: codec.decode(stored(codec, x, kind)) - x for name, codec in off.items()}
    assert off["int8"].norm() < 0.9 * off["int8_dynamic"].norm()
    if kind == "square":
        for q in (0.5, 0.9, 0.99):
            assert (off["int8"] / x).abs().quantile(q) < (off["int8_dynamic"] / x).abs().quantile(q)


def test_words_hold_the_quarters_of_a_block():
    """Byte b of word w is entry 64 b + w."""
    codec = Words("int8_linear", Linear(True))
    words, scale = codec.write(torch.arange(-127.0, 129.0).view(1, 256).chunk(4, -1))
    assert torch.equal(
        torch.cat(codec.read(words, scale), -1), torch.cat(codec.read(words, scale), -1).sort().values
    )
    lowest = words.view(torch.uint8).view(64, 4)
    assert (lowest.diff(dim=1) > 0).all() and (lowest.int().diff(dim=0) >= 0).all()


def test_two_codes_share_a_byte():
    code = torch.randint(16, (3, 5, 64), dtype=torch.uint8)
    assert pack(code).shape == (3, 5, 32) and torch.equal(unpack(pack(code)), code)


@pytest.mark.parametrize("kind", ["moment", "square"])
def test_float8_errors_are_those_of_three_bits_of_mantissa(kind):
    codec, x = CODECS["fp8"](kind), sample((64, 256), kind, 3.0)
    largest = x.abs().amax(-1, keepdim=True)
    error = (codec.decode(codec.encode(x, made(codec, (64, 256), kind))) - x).abs()
    floor = 2.0**-17 if kind == "square" else 2.0**-18  # squares above zero never become zero
    assert (error <= torch.maximum(x.abs() * 2.0**-4, largest * floor) * (1 + 1e-6)).all()
