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
