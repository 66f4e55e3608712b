"""Codecs of whole matrices."""

from __future__ import annotations

import pytest
import torch

from piste._storage.nibbles import Eigenvectors, RealDiagonal
from piste._storage.symmetric import Symmetric

from .test_codecs import made, same


@pytest.mark.parametrize("shape", [(64, 64), (3, 65, 65), (2, 2, 40, 40)])
def test_symmetric_matrices_come_back_exactly_from_half_the_bytes(shape):
    codec, a = Symmetric(), torch.randn(shape)
    a = a + a.mT
    kept = codec.encode(a, made(codec, shape, "factor"))
    m = shape[-1]
    assert torch.equal(codec.decode(kept), a) and kept[""].numel() == a.numel() * (m + 1) // (2 * m)
    assert {k: (tuple(t.shape), t.dtype) for k, t in kept.items()} == codec.parts(shape, "factor")
    assert codec.parts((64, 65), "factor") is None


def orthogonal(*shape):
    return torch.linalg.qr(torch.randn(shape, dtype=torch.float64))[0].float()


def gap(v):
    """The spectral norm of I - V^T V."""
    return torch.linalg.matrix_norm(torch.eye(v.shape[-1]) - v.mT @ v, 2)


@pytest.mark.parametrize("shape", [(64, 64), (2, 96, 96), (3, 67, 67), (256, 256)])
def test_eigenvectors_are_orthogonal_again_at_the_rate_of_bjorck(shape):
    v, codec = orthogonal(*shape), Eigenvectors()
    kept = codec.encode(v, made(codec, shape, "basis"))
    assert {k: (tuple(t.shape), t.dtype) for k, t in kept.items()} == codec.parts(shape, "basis")
    e = gap(codec.rough(kept))
    assert (e < 1).all()
    for steps in (1, 2, 3):
        e = (3 * e**2 + e**3) / 4
        assert (gap(Eigenvectors(steps=steps).decode(kept)) <= e + 1e-5).all()
    assert (gap(codec.decode(kept)) < 0.15).all()


def test_what_is_stored_of_eigenvectors_is_the_nearest_of_sixteen_values_and_encodes_to_itself():
    v, codec = orthogonal(128, 128), Eigenvectors()
    kept = codec.encode(v, made(codec, (128, 128), "basis"))
    q = torch.arange(-15.0, 16.0, 2)
    levels = torch.where(q == -1, 0.0, q * q.abs() / 225)
    y = v.reshape(256, 64) / kept["scale"].unsqueeze(-1)
    error = (codec.rough(kept).view(y.shape) / kept["scale"].unsqueeze(-1) - y).abs()
    assert (error <= (y.unsqueeze(-1) - levels).abs().amin(-1) + 1e-6).all()
    assert same(codec.encode(codec.rough(kept), kept), kept)


@pytest.mark.parametrize("codec", [Eigenvectors(steps=0), RealDiagonal()])
@pytest.mark.parametrize("m", [*range(32, 42), 65, 848, 1001])
def test_a_square_matrix_of_any_size_is_coded(codec, m):
    shape = (4, m, m) if m < 100 else (m, m)
    a = torch.randn(shape, generator=torch.Generator().manual_seed(m))
    kept = codec.encode(a, made(codec, shape, "factor"))
    assert {k: (tuple(t.shape), t.dtype) for k, t in kept.items()} == codec.parts(shape, "factor")
    back = codec.decode(kept)
    assert back.shape == a.shape
    # 13²/15² and 1 are the neighbours furthest apart
    assert (back - a).abs().max() <= 0.125 * kept["scale"].max() and same(codec.encode(back, kept), kept)


def test_matrices_too_small_for_a_code_stay_as_they_are():
    assert (
        Eigenvectors().parts((31, 31), "basis") is None and Eigenvectors().parts((9, 31, 31), "basis") is None
    )
    assert RealDiagonal().parts((64, 65), "factor") is None
