"""Random pairs of columns: the stated accuracy, and the rate that all such methods share."""

from __future__ import annotations

import itertools

import pytest
import torch

from linalg.test_polar import gaussian
from linalg.test_roots import spd
from piste.linalg import jacobi, pairwise_gram_schmidt
from piste.linalg.jacobi import _rotation, _turn

STATED = {torch.float32: 1e-5, torch.float64: 1e-12}


@pytest.mark.parametrize("dtype", STATED)
@pytest.mark.parametrize("n", [1, 2, 7, 64])
@pytest.mark.parametrize("kind", ["mixed signs", "condition 1e5", "rank 1", "diagonal", "zero"])
def test_jacobi_is_as_accurate_as_stated(dtype, n, kind):
    g = gaussian(n, n)
    a = {
        "mixed signs": g + g.mT, "condition 1e5": spd(n, n, condition=1e5), "rank 1": g[:1].mT @ g[:1],
        "diagonal": torch.diag(g[0]), "zero": torch.zeros_like(g),
    }[kind]  # fmt: skip
    values, vectors = jacobi(a.to(dtype))
    assert values.dtype == vectors.dtype == dtype
    assert (values[:-1] >= values[1:]).all()
    v = vectors.double()
    assert (v.mT @ v - torch.eye(n, dtype=v.dtype)).norm() < 30 * n * torch.finfo(dtype).eps
    assert (v.mT @ a @ v - torch.diag(values.double())).norm() <= STATED[dtype] * a.norm()


def test_half_precision_keeps_its_dtype():
    a = spd(8, 8, condition=10.0).bfloat16()
    values, vectors = jacobi(a)
    assert values.dtype == vectors.dtype == torch.bfloat16
    exact = torch.linalg.eigvalsh(a.double()).flip(-1)
    torch.testing.assert_close(values.double(), exact, rtol=0.01, atol=0)


def test_small_eigenvalues_of_scaled_matrices_keep_their_digits():
    """Demmel and Veselić: rows and columns scaled over five orders; LAPACK's float32 loses the smallest."""
    scale = torch.logspace(-5, 0, 12, dtype=torch.float64)
    inner = torch.eye(12, dtype=torch.float64) + 0.1 * (gaussian(12, 12) + gaussian(12, 12).mT)
    a = (scale[:, None] * inner * scale).float().double()
    exact = torch.linalg.eigvalsh(a).flip(-1)
    assert ((jacobi(a.float())[0].double() - exact).abs() / exact).max() < 5e-6
    assert ((torch.linalg.eigvalsh(a.float()).flip(-1).double() - exact).abs() / exact).max() > 5e-5


def test_a_random_pair_takes_its_share_in_the_mean():
    """Over all pairs exactly 2 / n(n - 1) of the squares off the diagonal, whatever the matrix."""
    n, a = 7, gaussian(7, 7)
    a = a + a.mT
    pairs, left = list(itertools.combinations(range(n), 2)), []
    for i, j in pairs:
        order = torch.tensor([i, j, *(k for k in range(n) if k not in (i, j))])
        x = a[order][:, order]
        c, s = _rotation(x[:1, 0], x[1:2, 1], x[:1, 1])
        x = _turn(_turn(x, c, s).mT, c, s)
        assert abs(float(x[0, 1])) < 1e-14
        left.append(float((x - torch.diag(x.diagonal())).square().sum()))
    before = float((a - torch.diag(a.diagonal())).square().sum())
    assert sum(left) / len(left) == pytest.approx((1 - 2 / (n * (n - 1))) * before, rel=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (40, 32), (5, 1), (9, 7)])
@pytest.mark.parametrize("dtype, most", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_gram_schmidt_is_as_accurate_as_stated(shape, dtype, most):
    m, n = shape
    left, right = torch.linalg.qr(gaussian(m, n))[0], torch.linalg.qr(gaussian(n, n, seed=3))[0]
    a = left * torch.logspace(0, -2, n, dtype=torch.float64) @ right
    q = pairwise_gram_schmidt(a.to(dtype)).double()
    assert (q.mT @ q - torch.eye(n, dtype=q.dtype)).norm() < most
    assert (q - left @ (left.mT @ q)).norm() < 100 * most  # the same span


def test_batched_is_looped_is_vmapped():
    a = spd(3, 6, 6)
    for function in (lambda m: jacobi(m)[0], lambda m: jacobi(m)[1], pairwise_gram_schmidt):
        looped = torch.stack([function(m) for m in a])
        torch.testing.assert_close(function(a), looped, rtol=0, atol=1e-12)
        torch.testing.assert_close(torch.func.vmap(function)(a), looped, rtol=0, atol=1e-12)


def test_zero_columns_and_refusals():
    a = gaussian(4, 3)
    a[:, 1] = 0
    q = pairwise_gram_schmidt(a)
    assert q.isfinite().all()
    assert int((q.norm(dim=0) > 0.5).sum()) == 2
    with pytest.raises(ValueError, match="transpose"):
        pairwise_gram_schmidt(gaussian(2, 3))
    with pytest.raises(ValueError, match="sweeps >= 1"):
        jacobi(a.mT @ a, sweeps=0)
