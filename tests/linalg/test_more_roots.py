"""Inverse roots by products alone: each with the accuracy that it states."""

from __future__ import annotations

import functools
import math

import pytest
import torch

from linalg.test_roots import spd
from piste.linalg import (
    POLAR_EXPRESS,
    inverse_root,
    inverse_root_chebyshev,
    inverse_root_denman_beavers,
    inverse_root_newton,
    norm_bound,
)

express = functools.partial(inverse_root_denman_beavers, steps=11, coefficients=POLAR_EXPRESS)
PRODUCTS = {"newton": inverse_root_newton, "denman_beavers": inverse_root_denman_beavers, "express": express}
every_root = pytest.mark.parametrize("root", PRODUCTS.values(), ids=PRODUCTS)


def error(x, exact):
    return float(torch.linalg.matrix_norm(x.double() - exact, 2) / torch.linalg.matrix_norm(exact, 2))


@every_root
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("p", [2, 4])
@pytest.mark.parametrize("condition", [1e2, 1e3, 1e5])
def test_error_is_rounding_times_condition(root, dtype, p, condition):
    a = spd(96, 96, condition=condition)
    assert error(root(a.to(dtype), p), inverse_root(a, p)) < 5 / p * condition * torch.finfo(dtype).eps


@every_root
@pytest.mark.parametrize("rank", [1, 12, 40])
def test_of_singular_matrices_with_a_ridge(root, rank):
    g = torch.randn(48, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(rank))
    a = g @ g.mT / rank
    ridge = 1e-4 * float(torch.linalg.matrix_norm(a, 2))
    exact = inverse_root(a, 4, ridge)
    assert error(root(a.float(), 4, ridge), exact) < 5 / 4 * 1e4 * torch.finfo(torch.float32).eps
    half = a.bfloat16()  # its rounding is in the matrix already: the root of that is met to bf16's last place
    exact = inverse_root(half.double(), 4, 40 * ridge)
    assert error(root(half, 4, 40 * ridge), exact) < 0.01


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("p", [2, 4, 2.5])
@pytest.mark.parametrize("ridge", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("degree", [20, 60, 200])
def test_chebyshev_error_is_as_stated(dtype, p, ridge, degree):
    a = spd(64, 64, condition=1e5)
    eps = ridge * float(norm_bound(a))
    rounding = (2 * degree + 5 / p / ridge) * torch.finfo(dtype).eps
    allowed = 2 * math.exp(-2 * degree * ridge**0.5) + rounding
    assert error(inverse_root_chebyshev(a.to(dtype), p, eps, degree), inverse_root(a, p, eps)) < allowed


def test_chebyshev_of_singular_and_half_precision_matrices():
    g = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a = (g @ g.mT).bfloat16()
    eps = 1e-2 * float(norm_bound(a.float()))
    made = inverse_root_chebyshev(a, 4, eps)
    assert made.dtype == torch.bfloat16
    assert error(made, inverse_root(a.double(), 4, eps)) < 0.01
    zero = inverse_root_chebyshev(torch.zeros(3, 3), 4, 0.1)
    torch.testing.assert_close(zero, 0.1**-0.25 * torch.eye(3))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_norm_bound_is_a_bound(scale):
    for seed, rank in enumerate([1, 5, 30]):
        g = torch.randn(30, rank, generator=torch.Generator().manual_seed(seed))
        a = scale * g @ g.mT
        norm, bound = torch.linalg.matrix_norm(a.double(), 2), norm_bound(a).double()
        assert norm * (1 - 1e-6) <= bound <= 30**0.25 * norm * (1 + 1e-6)


@pytest.mark.parametrize(
    "root",
    [inverse_root_denman_beavers, functools.partial(inverse_root_chebyshev, eps=0.5)],
    ids=["db", "cheb"],
)
def test_batched_is_looped_is_vmapped_and_differentiable(root):
    a = spd(3, 5, 5, condition=10.0)
    looped = torch.stack([root(m, 4) for m in a])
    torch.testing.assert_close(root(a, 4), looped, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(lambda m: root(m, 4))(a), looped, rtol=0, atol=1e-12)
    one = spd(4, 4, condition=10.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: root((m + m.mT) / 2, 2), one)


def test_refusals():
    a = spd(3, 3)
    with pytest.raises(ValueError, match="power of two"):
        inverse_root_denman_beavers(a, 3)
    with pytest.raises(ValueError, match="eps > 0"):
        inverse_root_chebyshev(a, 4, 0.0)
    with pytest.raises(ValueError, match="degree >= 2"):
        inverse_root_chebyshev(a, 4, 0.1, 1)
