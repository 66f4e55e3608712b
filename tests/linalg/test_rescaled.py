"""Turbo-Muon's polar factor: the stated accuracy, and what it shares with the usual one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from linalg.test_polar import gaussian, with_condition
from piste.linalg import KELLER, TURBO, newton_schulz, newton_schulz_flops, newton_schulz_rescaled, svd_polar

DTYPES = [torch.float32, torch.bfloat16]


def unevenness(x: Tensor) -> float:
    """‖XXᵀ - I‖ / √m on the shorter side."""
    s = torch.linalg.svdvals(x.double())
    return float((s.square() - 1).square().mean().sqrt())


@pytest.mark.parametrize("shape", [(6, 6), (5, 9), (9, 5), (1, 4), (4, 1)])
@pytest.mark.parametrize("steps", [1, 4, 6])
def test_it_is_the_odd_polynomial_of_the_rescaled_matrix(shape, steps):
    u = gaussian(*shape)
    wide = u if shape[0] <= shape[1] else u.mT
    s = (wide @ wide.mT).abs().sum(1) ** -0.5
    left, values, right = torch.linalg.svd(s[:, None] * wide, full_matrices=False)
    assert values.max() <= 1 + 1e-12
    for k in range(steps):
        a, b, c = TURBO[min(k, 3)]
        values = a * values + b * values**3 + c * values**5
    expected = left * values @ right
    got = newton_schulz_rescaled(u, steps, dtype=None)
    torch.testing.assert_close(got, expected if shape[0] <= shape[1] else expected.mT, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape, condition, most, least",
    [
        ((256, 256), None, 0.13, 0.0),
        ((256, 384), None, 0.06, 0.95),
        ((384, 256), None, 0.06, 0.95),
        ((256, 256), 1e2, 0.17, 0.65),
        ((256, 1024), 1e2, 0.17, 0.65),
        ((256, 256), 1e5, 0.76, 0.0),
    ],
)
def test_stated_accuracy(dtype, shape, condition, most, least):
    u = (
        gaussian(*shape, seed=1)
        if condition is None
        else with_condition(*sorted(shape, reverse=True), condition)
    )
    u = u if u.shape == shape else u.mT
    made = newton_schulz_rescaled(u.float(), 4, dtype=dtype)
    s = torch.linalg.svdvals(made.double())
    assert s.max() < 1.15
    assert s.min() > least
    assert unevenness(made) < most
    assert unevenness(made) < 1.02 * unevenness(newton_schulz(u.float(), 5, KELLER, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_matrices_are_met_to_a_tenth(dtype):
    u = gaussian(256, 256, seed=1)
    off = (newton_schulz_rescaled(u, dtype=dtype) - svd_polar(u)).norm() / 16
    assert off < 0.10
    assert off < 0.6 * (newton_schulz(u, dtype=dtype) - svd_polar(u)).norm() / 16


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(32, 8), (8, 32), (128, 64), (64, 256), (64, 64)])
def test_rank_deficient_matrices_never_blow_up(dtype, shape):
    m, n = shape
    for rank in (1, 4, min(m, n) // 2):
        u = 1e-4 * gaussian(10, m, rank, seed=rank) @ gaussian(10, rank, n, seed=9)
        s = torch.linalg.svdvals(newton_schulz_rescaled(u.float(), dtype=dtype).double())
        assert s.max() < 1.3


def test_orthogonal_rows_are_met_exactly():
    """Whatever their lengths: the rescaling is then the whole way."""
    rows = torch.linalg.qr(gaussian(9, 6))[0].mT
    u = torch.logspace(0, 5, 6, dtype=torch.float64)[:, None] * rows
    torch.testing.assert_close(newton_schulz_rescaled(u, 1, ((1.0, 0.0, 0.0),)), rows, rtol=0, atol=1e-10)


def test_invariances_and_kinds():
    u = gaussian(3, 5, 8)
    turn = torch.linalg.qr(gaussian(8, 8, seed=7))[0]
    made = newton_schulz_rescaled(u)
    torch.testing.assert_close(newton_schulz_rescaled(u.mT), made.mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(newton_schulz_rescaled(u @ turn), made @ turn, rtol=0, atol=1e-12)
    torch.testing.assert_close(newton_schulz_rescaled(-1e4 * u), -made, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(newton_schulz_rescaled)(u), made, rtol=0, atol=1e-12)
    half = newton_schulz_rescaled(u.bfloat16())
    assert half.dtype == torch.bfloat16
    assert not newton_schulz_rescaled(torch.zeros(4, 3)).any()
    assert torch.autograd.gradcheck(newton_schulz_rescaled, gaussian(3, 4).requires_grad_())
    with pytest.raises(ValueError, match="steps >= 1"):
        newton_schulz_rescaled(u, 0)


@pytest.mark.parametrize(
    "m, n, dtype, most",
    [(512, 512, torch.bfloat16, 0.8), (512, 2048, torch.bfloat16, 0.9), (512, 2048, torch.float32, 0.9)],
)
def test_four_steps_cost_less_than_five(m, n, dtype, most):
    """Counted by torch's own counter; rescaling costs no product."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        newton_schulz_rescaled(torch.zeros(m, n), 4, dtype=dtype)
    assert counter.get_total_flops() == newton_schulz_flops(m, n, 4, TURBO, dtype)
    assert counter.get_total_flops() <= most * newton_schulz_flops(m, n, 5, KELLER, dtype)
