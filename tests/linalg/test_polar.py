from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from piste.linalg import polar, products
from piste.linalg.polar import CUBIC, KELLER, POLAR_EXPRESS, newton_schulz, newton_schulz_flops, svd_polar

SHAPES = [(6, 6), (6, 9), (5, 20), (20, 5), (1, 4), (4, 1), (1, 1)]
SCHEDULES = {"keller": KELLER, "polar_express": POLAR_EXPRESS, "cubic": CUBIC}


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_condition(m: int, n: int, condition: float) -> Tensor:
    left, right = (torch.linalg.qr(gaussian(k, n, seed=k))[0] for k in (m, n))
    return (
        left * torch.logspace(0, -torch.tensor(condition).log10().item(), n, dtype=torch.float64) @ right.mT
    )


def on_singular_values(u: Tensor, steps: int, schedule: polar.Quintics) -> Tensor:
    """What the iteration must give: each quintic applied to the singular values of the normalised matrix."""
    left, s, right = torch.linalg.svd(u, full_matrices=False)
    s = s / (s.norm(dim=-1, keepdim=True) + 1e-7)
    for k in range(steps):
        a, b, c = schedule[min(k, len(schedule) - 1)]
        s = a * s + b * s**3 + c * s**5
    return left * s.unsqueeze(-2) @ right


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 3, 5, 8])
def test_it_is_the_odd_polynomial_of_the_singular_values(shape, schedule, steps):
    u = gaussian(*shape)
    expected = on_singular_values(u, steps, SCHEDULES[schedule])
    torch.testing.assert_close(
        newton_schulz(u, steps, SCHEDULES[schedule], None), expected, rtol=0, atol=1e-11
    )


def carry(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """As many steps on one Gram matrix, whatever their rounding errors."""
    cut = polar._cut
    monkeypatch.setattr(polar, "_cycles", lambda m, n, schedule, dtype, device: cut(schedule, steps, 0.0, m))


@pytest.mark.parametrize("shape", [(12, 12), (8, 40), (40, 8)])
@pytest.mark.parametrize("carried", [1, 2, 3, 5])
def test_usual_and_gram_side_forms_agree(monkeypatch, shape, carried):
    u = gaussian(*shape)
    expected = newton_schulz(u, dtype=None)
    carry(monkeypatch, carried)
    torch.testing.assert_close(newton_schulz(u, dtype=None), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (8, 8), (3, 7, 12)])
@pytest.mark.parametrize("ends", [(2, 5), (1, 2, 3, 5)])
def test_mirrored_products_change_nothing(monkeypatch, shape, ends):
    u = gaussian(*shape)
    expected = newton_schulz(u)
    monkeypatch.setattr(products, "_ends", lambda m, k, device, dtype: (*(e for e in ends if e < m), m))
    torch.testing.assert_close(newton_schulz(u), expected, rtol=0, atol=1e-12)


def test_keller_band():
    """Singular values that are not tiny end in about [0.7, 1.2]; none leaves it upwards."""
    s = torch.linalg.svdvals(newton_schulz(with_condition(96, 48, 30.0), dtype=None))
    assert s.min() > 0.65
    assert s.max() < 1.21


@pytest.mark.parametrize("shape", [(256, 64), (96, 64), (64, 64)])
@pytest.mark.parametrize("condition", [10.0, 1e5])
def test_bfloat16_stays_near_the_exact_iteration(shape, condition):
    u = with_condition(*shape, condition)
    exact = newton_schulz(u, dtype=None)
    rounded = newton_schulz(u, dtype=torch.bfloat16)
    assert rounded.dtype == u.dtype
    assert (rounded - exact).norm() < 0.2 * exact.norm()
    assert torch.linalg.matrix_norm(rounded, 2) < 1.25


def test_carrying_the_gram_matrix_through_all_steps_loses_bfloat16(monkeypatch):
    """Why it is formed anew: this is the failure that `_SLACK` prevents."""
    u = with_condition(256, 64, 1e5)
    carry(monkeypatch, 5)
    assert torch.linalg.matrix_norm(newton_schulz(u, dtype=torch.bfloat16), 2) > 1.4


def test_polar_express_converges_from_its_lower_bound():
    s = torch.linalg.svdvals(newton_schulz(with_condition(32, 16, 100.0), 8, POLAR_EXPRESS, None))
    torch.testing.assert_close(s, torch.ones_like(s), rtol=0, atol=1e-6)


def test_cubic_converges_to_the_polar_factor():
    u = with_condition(12, 8, 5.0)
    torch.testing.assert_close(newton_schulz(u, 40, CUBIC, None), svd_polar(u), rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", [svd_polar, lambda u: newton_schulz(u, dtype=None)])
@pytest.mark.parametrize("shape", [(6, 6), (7, 4), (4, 13)])
def test_equivariances(function, shape):
    u = gaussian(*shape)
    turn = torch.linalg.qr(gaussian(shape[0], shape[0], seed=7))[0]
    result = function(u)
    torch.testing.assert_close(function(u.mT), result.mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(function(turn @ u), turn @ result, rtol=0, atol=1e-12)
    torch.testing.assert_close(function(-u), -result, rtol=0, atol=1e-12)
    torch.testing.assert_close(function(1e4 * u), result, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 6), (7, 4), (4, 7)])
def test_svd_polar_is_the_nearest_orthogonal_matrix(shape):
    u = gaussian(*shape)
    q = svd_polar(u)
    gram = q.mT @ q if shape[0] >= shape[1] else q @ q.mT
    torch.testing.assert_close(gram, torch.eye(min(shape), dtype=u.dtype), rtol=0, atol=1e-12)
    other = torch.linalg.qr(gaussian(max(shape), min(shape), seed=3))[0]
    other = other if shape[0] >= shape[1] else other.mT
    assert (u - q).norm() < (u - other).norm()


@pytest.mark.parametrize("shape", [(3, 6, 6), (2, 3, 20, 5), (4, 5, 20)])
@pytest.mark.parametrize("function", [svd_polar, lambda u: newton_schulz(u, dtype=None)])
def test_batched_is_looped_is_vmapped(function, shape):
    u = gaussian(*shape)
    flat = u.reshape(-1, *shape[-2:])
    looped = torch.stack([function(v) for v in flat])
    torch.testing.assert_close(function(u).reshape(flat.shape), looped, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(function)(flat), looped, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3)])
def test_gradient(shape):
    u = gaussian(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: newton_schulz(v, dtype=None), u)


def test_input_is_left_alone_and_zero_stays_zero():
    u = gaussian(9, 3).bfloat16()
    before = u.clone()
    result = newton_schulz(u)
    assert torch.equal(u, before)
    assert result.dtype == torch.bfloat16
    assert not newton_schulz(torch.zeros(3, 9)).any()


@pytest.mark.parametrize(
    "m, n, schedule, dtype, cycles",
    [
        (256, 256, "keller", torch.bfloat16, (1, 1, 1, 1, 1)),
        (384, 256, "keller", torch.bfloat16, (1, 1, 1, 1, 1)),
        (512, 128, "keller", torch.bfloat16, (2, 2, 1)),
        (512, 128, "polar_express", torch.bfloat16, (2, 1, 2)),
        (64, 256, "polar_express", torch.bfloat16, (1, 1, 1, 2)),
        (512, 2048, "keller", torch.bfloat16, (3, 2)),
        (256, 1024, "keller", torch.float32, (3, 2)),
        (512, 1536, "polar_express", torch.float32, (3, 2)),
        (1024, 1024, "keller", torch.float32, (1, 1, 1, 1, 1)),
    ],
)
def test_flops_count_the_products_that_run(m, n, schedule, dtype, cycles):
    """Counted by torch's own counter; the cheaper form is the one that runs, as far as its rounding allows."""
    from torch.utils.flop_counter import FlopCounterMode

    coefficients = SCHEDULES[schedule]
    found = polar._cycles(m, n, polar._schedule(coefficients, 5), dtype, "cpu")
    assert tuple(map(len, found)) == cycles
    with FlopCounterMode(display=False) as counter:
        newton_schulz(torch.zeros(m, n), 5, coefficients, dtype)
    assert newton_schulz_flops(m, n, 5, coefficients, dtype) == counter.get_total_flops()
    assert newton_schulz_flops(n, m, 5, coefficients, dtype) == counter.get_total_flops()


def test_steps_must_be_positive():
    with pytest.raises(ValueError, match="steps >= 1"):
        newton_schulz(torch.eye(2), 0)


def test_vmap_keeps_null_directions_down_as_the_loop_does():
    """Gradients behind a LayerNorm have a null direction: their columns sum to zero."""
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        m, n = [(16, 64), (32, 128), (64, 192), (16, 48)][seed % 4]
        left = torch.linalg.qr(torch.randn(m, m, generator=generator))[0]
        right = torch.linalg.qr(torch.randn(n, m, generator=generator))[0]
        u = left * 10 ** (-4 * torch.rand(m, generator=generator)) @ right.mT
        u = (u - u.mean(0)).expand(2, m, n)
        rounded = functools.partial(newton_schulz, dtype=torch.bfloat16)
        for made in (rounded(u), torch.func.vmap(rounded)(u)):
            assert torch.linalg.matrix_norm(made[1], 2) < 1.3, (seed, m, n)


@pytest.mark.parametrize("shape", [(32, 8), (8, 32), (128, 64), (64, 128), (64, 256), (16, 64)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("schedule", ["keller", "polar_express"])
def test_rank_deficient_matrices_never_blow_up(shape, dtype, schedule):
    """In bf16 a Gram matrix used too often turns indefinite: singular values of 37 (and 800) were seen."""
    g = torch.Generator().manual_seed(0)
    m, n = shape
    for rank in (1, 2, 4, min(m, n) // 2):
        for decay in (0.0, -1.5, -3.0):
            scale = torch.logspace(0, decay, rank)
            u = 1e-4 * (torch.randn(30, m, rank, generator=g) * scale) @ torch.randn(30, rank, n, generator=g)
            made = newton_schulz(u, 5, SCHEDULES[schedule], dtype)
            assert torch.linalg.svdvals(made).max() < 1.3


@pytest.mark.parametrize("schedule", ["keller", "polar_express"])
@pytest.mark.parametrize("m", [34, 128, 512])
def test_few_rows_never_blow_up(m, schedule):
    """Nor where most rows are zero, so that the rounding errors of a large Gram matrix are those of a small one."""
    g = torch.Generator().manual_seed(1)
    for rank in (3, m // 4, m - 7):
        for decay in (0.0, -2.0, -6.0):
            left = torch.randn(m, rank, generator=g) * torch.logspace(0, decay, rank)
            left = left * (torch.rand(m, 1, generator=g) < 0.2)
            u = left @ torch.randn(rank, 2 * m, generator=g)
            made = newton_schulz(u, 5, SCHEDULES[schedule], torch.bfloat16)
            assert torch.linalg.matrix_norm(made, 2) < 1.3
