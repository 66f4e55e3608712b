from __future__ import annotations

import pytest
import torch
from torch import Tensor

from piste.linalg import eigenbasis, orthogonal_iteration
from piste.linalg.eigen import orthogonal_factor


def symmetric(*shape: int, seed: int = 0) -> Tensor:
    g = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return g @ g.mT


def basis(n: int, seed: int = 1) -> Tensor:
    return torch.linalg.qr(symmetric(n, n, seed=seed)).Q


def test_eigenbasis_diagonalises_in_descending_order():
    a = symmetric(3, 7, 7)
    q = eigenbasis(a)
    diagonal = q.mT @ a @ q
    values = diagonal.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(diagonal, torch.diag_embed(values), rtol=0, atol=1e-12)
    torch.testing.assert_close(q.mT @ q, torch.eye(7, dtype=a.dtype).expand(3, 7, 7), rtol=0, atol=1e-13)
    assert (values.diff(dim=-1) <= 0).all()


def test_step_matches_the_definition():
    a, q = symmetric(6, 6), basis(6)
    new, order = orthogonal_iteration(a, q)
    assert torch.equal(order, (q.mT @ a @ q).diagonal().argsort(descending=True))
    torch.testing.assert_close(new, torch.linalg.qr(a @ q[:, order]).Q, rtol=0, atol=1e-12)
    torch.testing.assert_close(new.mT @ new, torch.eye(6, dtype=a.dtype), rtol=0, atol=1e-13)


def test_repeated_steps_reach_the_eigenbasis():
    target = basis(5, seed=2)
    a = target * torch.tensor([16.0, 8.0, 4.0, 2.0, 1.0], dtype=torch.float64) @ target.mT
    q = basis(5)
    for _ in range(60):
        q, _ = orthogonal_iteration(a, q)
    torch.testing.assert_close((q * target).sum(0).abs(), torch.ones(5, dtype=a.dtype), rtol=0, atol=1e-10)


def test_eigenbasis_is_a_fixed_point_up_to_sign():
    a = symmetric(6, 6)
    q = eigenbasis(a)
    new, order = orthogonal_iteration(a, q)
    assert torch.equal(order, torch.arange(6))
    torch.testing.assert_close((new * q).sum(0).abs(), torch.ones(6, dtype=a.dtype), rtol=0, atol=1e-12)


def test_order_follows_a_permuted_basis():
    a = symmetric(6, 6)
    q = eigenbasis(a)
    shuffle = torch.tensor([3, 0, 5, 1, 4, 2])
    new, order = orthogonal_iteration(a, q[:, shuffle])
    assert torch.equal(shuffle[order], torch.arange(6))
    torch.testing.assert_close((new * q).sum(0).abs(), torch.ones(6, dtype=a.dtype), rtol=0, atol=1e-12)


def test_batched_is_looped_is_vmapped():
    a = symmetric(4, 5, 5)
    q = torch.stack([basis(5, seed=k) for k in range(4)])
    loop = [orthogonal_iteration(m, b) for m, b in zip(a, q)]
    for result in (orthogonal_iteration(a, q), torch.func.vmap(orthogonal_iteration)(a, q)):
        torch.testing.assert_close(result[0], torch.stack([new for new, _ in loop]), rtol=0, atol=1e-12)
        assert torch.equal(result[1], torch.stack([order for _, order in loop]))
    torch.testing.assert_close(torch.func.vmap(eigenbasis)(a), eigenbasis(a), rtol=0, atol=1e-12)


def test_low_precision_keeps_its_dtype_and_input():
    a, q = symmetric(4, 4).bfloat16(), torch.eye(4, dtype=torch.bfloat16)
    before = a.clone()
    assert eigenbasis(a).dtype == orthogonal_iteration(a, q)[0].dtype == torch.bfloat16
    assert torch.equal(a, before)


def test_an_embeddings_statistics_have_an_eigenbasis():
    """Most rows zero, the others few and small: float32 does not converge here."""
    g = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
    g[torch.randperm(512, generator=torch.Generator().manual_seed(1))[:350]] = 0
    a = 0.05 * g @ g.mT
    q = eigenbasis(a)
    torch.testing.assert_close(q.mT @ q, torch.eye(512), rtol=0, atol=1e-5)
    off = q.mT @ a @ q
    assert (off - torch.diag(off.diagonal())).abs().max() < 1e-4 * a.abs().max() * 10


@pytest.mark.parametrize("shape", [(5, 5), (9, 4), (3, 6, 6), (0, 4, 4)])
def test_the_orthogonal_factor_is_that_of_qr(shape):
    a = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q = orthogonal_factor(a)
    torch.testing.assert_close(q, torch.linalg.qr(a).Q, rtol=1e-13, atol=1e-13)
    assert orthogonal_factor(a.to("meta")).shape == q.shape


def test_an_orthogonal_factor_of_less_than_full_rank_is_orthogonal():
    a = torch.randn(7, 2, dtype=torch.float64) @ torch.randn(2, 7, dtype=torch.float64)
    for x in (a, torch.zeros(4, 4, dtype=torch.float64)):
        q = orthogonal_factor(x)
        torch.testing.assert_close(q.mT @ q, torch.eye(q.shape[-1], dtype=q.dtype), rtol=0, atol=1e-12)


def test_an_orthogonal_factor_has_derivatives():
    a, way = (
        torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (0, 1)
    )
    _, forward = torch.func.jvp(orthogonal_factor, (a,), (way,))
    _, want = torch.func.jvp(lambda x: torch.linalg.qr(x).Q, (a,), (way,))
    torch.testing.assert_close(forward, want)
    assert torch.autograd.gradcheck(orthogonal_factor, a.requires_grad_())
    assert torch.compile(orthogonal_factor, backend="eager", fullgraph=True)(a.detach()).shape == (4, 4)
