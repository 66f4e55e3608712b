from __future__ import annotations

import pytest
import torch
from torch import Tensor

from piste.linalg import inverse_root, inverse_root_newton

ROOTS = [inverse_root, inverse_root_newton]


def spd(*shape: int, condition: float = 1e3) -> Tensor:
    n = shape[-1]
    q = torch.linalg.qr(torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(n)))[
        0
    ]
    values = torch.logspace(2, 2 - torch.tensor(condition).log10().item(), n, dtype=torch.float64)
    return q * values @ q.mT


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("p", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6])
def test_pth_power_undoes_the_matrix(root, p, condition):
    a = spd(6, 6, condition=condition)
    x = root(a, p)
    identity = torch.linalg.matrix_power(x, p) @ a
    torch.testing.assert_close(identity, torch.eye(6, dtype=a.dtype), rtol=0, atol=1e-14 * condition + 1e-11)
    assert (x - x.mT).norm() < 1e-10 * x.norm()


@pytest.mark.parametrize("root", ROOTS)
def test_eps_is_added_to_the_diagonal(root):
    a = spd(5, 5)
    ridge = a + 0.3 * torch.eye(5, dtype=a.dtype)
    torch.testing.assert_close(root(a, 4, 0.3), root(ridge, 4), rtol=0, atol=1e-12)


@pytest.mark.parametrize("root", ROOTS)
def test_batched_is_looped_is_vmapped(root):
    a = spd(3, 2, 5, 5)
    looped = torch.stack([torch.stack([root(m, 4) for m in row]) for row in a])
    torch.testing.assert_close(root(a, 4), looped, rtol=0, atol=1e-12)
    mapped = torch.func.vmap(torch.func.vmap(lambda m: root(m, 4)))(a)
    torch.testing.assert_close(mapped, looped, rtol=0, atol=1e-12)


@pytest.mark.parametrize("root", ROOTS)
def test_half_precision_input_keeps_its_dtype(root):
    a = spd(4, 4, condition=10.0).bfloat16()
    assert root(a, 4).dtype == torch.bfloat16
    torch.testing.assert_close(root(a, 4).double(), root(a.double(), 4), rtol=0, atol=1e-2)


@pytest.mark.parametrize("root", ROOTS)
def test_gradient(root):
    a = spd(4, 4, condition=10.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: root((m + m.mT) / 2, 4), a)


@pytest.mark.parametrize("p", [2, 4])
@pytest.mark.parametrize("condition", [1e2, 1e3, 1e4, 1e5])
def test_float32_is_as_good_as_its_rounding_allows(p, condition):
    """An eigenvalue's error is a few units of rounding of the largest one; the smallest one counts most."""
    a = spd(256, 256, condition=condition)
    exact = inverse_root(a, p)
    error = torch.linalg.matrix_norm(inverse_root(a.float(), p).double() - exact, 2)
    bound = 5 / p * condition * torch.finfo(torch.float32).eps
    assert error < bound * torch.linalg.matrix_norm(exact, 2)


@pytest.mark.parametrize("rank", [1, 40, 200])
def test_float32_on_a_singular_matrix_with_a_ridge(rank):
    """The ridge stands far above the rounding: null directions get its root, whatever their basis."""
    g = torch.randn(256, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(rank))
    a = g @ g.mT / rank
    ridge = 1e-4 * float(torch.linalg.matrix_norm(a, 2))
    exact = inverse_root(a, 4, ridge)
    error = (inverse_root(a.float(), 4, ridge).double() - exact).norm()
    assert error < 5e-3 * exact.norm()


def test_an_embeddings_statistics_have_a_root():
    """Most rows zero: float32 alone does not converge here."""
    g = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
    g[torch.randperm(512, generator=torch.Generator().manual_seed(1))[:350]] = 0
    a = 0.05 * g @ g.mT
    exact = inverse_root(a.double(), 4, 1e-2)
    assert (inverse_root(a, 4, 1e-2).double() - exact).norm() < 1e-3 * exact.norm()


def test_float64_steps_in_where_float32_fails(monkeypatch):
    """The decomposition of the narrow matrix may raise: the wide one answers."""
    eigh, seen = torch.linalg.eigh, []

    def failing(a):
        seen.append(a.dtype)
        if a.dtype == torch.float32:
            raise torch.linalg.LinAlgError("failed to converge")
        return eigh(a)

    a = spd(256, 256, condition=10.0).float()
    expected = inverse_root(a.double(), 4)
    monkeypatch.setattr(torch.linalg, "eigh", failing)
    root = inverse_root(a, 4)
    assert seen == [torch.float32, torch.float64]
    torch.testing.assert_close(root, expected.float(), rtol=1e-4, atol=1e-4)


def test_small_matrices_are_decomposed_in_float64():
    """So that a statistic of one gradient, singular but for the ridge, keeps its digits."""
    g = torch.randn(7, 1, generator=torch.Generator().manual_seed(0))
    a = g @ g.mT
    exact = inverse_root(a.double(), 2, 1e-4)
    assert (inverse_root(a, 2, 1e-4).double() - exact).norm() < 2e-6 * exact.norm()


def test_singular_matrix_has_a_finite_root():
    v = torch.arange(1.0, 6.0)
    a = v.outer(v)
    root = inverse_root(a, 4)
    assert root.isfinite().all()
    torch.testing.assert_close(v @ root @ v / v.dot(v), v.dot(v) ** -0.25)


def test_noninteger_root_needs_the_eigendecomposition():
    a = spd(4, 4)
    with pytest.raises(ValueError, match="use inverse_root"):
        inverse_root_newton(a, 2.5)  # type: ignore[arg-type]
    x = inverse_root(a, 2.5)
    torch.testing.assert_close(torch.linalg.matrix_power(x, 5) @ a @ a, torch.eye(4, dtype=a.dtype))
