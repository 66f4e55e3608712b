from __future__ import annotations

import pytest
import torch

from piste.linalg import product_dtype, products, symmetric

SIZES = [(512, 512), (512, 1536), (513, 1025), (1024, 1024), (1030, 512), (700, 40)]


def commuting(m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two symmetric matrices with the same eigenvectors."""
    g = torch.randn(m, m, dtype=torch.float64, generator=torch.Generator().manual_seed(m)) / m**0.5
    a = (g + g.mT) / 2
    return a, a @ a - 0.5 * a


@pytest.mark.parametrize("m, k", SIZES)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_gram_matrix(m, k, batch):
    x = torch.randn(*batch, m, k, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = symmetric(x, x.mT)
    torch.testing.assert_close(made, x @ x.mT, rtol=0, atol=1e-10)
    tall = x.mT.contiguous()
    torch.testing.assert_close(symmetric(tall.mT, tall), made, rtol=0, atol=1e-10)


@pytest.mark.parametrize("m", [300, 1024, 1101])
def test_a_sum_and_a_product_of_matrices_that_commute(m):
    a, p = commuting(m)
    made = symmetric(a, p, a, 0.5, 2.0)
    torch.testing.assert_close(made, 0.5 * a + 2.0 * a @ p, rtol=0, atol=1e-12)
    torch.testing.assert_close(symmetric(a, p), a @ p, rtol=0, atol=1e-12)


def test_the_mirrored_part_is_the_computed_one_to_the_bit():
    x = torch.randn(1024, 700, generator=torch.Generator().manual_seed(0))
    made, ends = symmetric(x, x.mT), products._ends(1024, 700, "cpu", x.dtype)
    assert len(ends) == 4
    for end in ends:
        assert torch.equal(made[:end, end:], made[end:, :end].mT)


def test_inputs_are_left_alone_and_vmap_is_the_loop():
    x = torch.randn(2, 1024, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    mapped = torch.func.vmap(lambda v: symmetric(v, v.mT))(x)
    assert torch.equal(x, before)
    torch.testing.assert_close(mapped, torch.stack([symmetric(v, v.mT) for v in x]), rtol=0, atol=1e-11)


def test_gradient(monkeypatch):
    monkeypatch.setattr(products, "_ends", lambda m, k, device, dtype: (2, 3, m))
    x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: symmetric(v, v.mT), x)


@pytest.mark.parametrize("m, k", SIZES)
def test_flops_are_what_torch_counts(m, k):
    from torch.utils.flop_counter import FlopCounterMode

    for dtype in (torch.float32, torch.bfloat16):
        with FlopCounterMode(display=False) as counter:
            symmetric(torch.zeros(m, k, dtype=dtype), torch.zeros(k, m, dtype=dtype))
        assert products.symmetric_flops(m, k, dtype=dtype) == counter.get_total_flops() <= 2 * m * m * k


def test_fast_products_are_in_bf16_only_where_the_processor_has_it(monkeypatch):
    assert product_dtype("cuda") == torch.bfloat16
    for native, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        product_dtype.cache_clear()
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert product_dtype("cpu") == dtype
    product_dtype.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shared", [(), (0,), (1,), (2,)])
def test_a_fused_product_is_the_same_to_the_bit_in_a_batch(dtype, shared):
    g = torch.Generator().manual_seed(0)
    given = [torch.randn(3, 68, 68, generator=g).to(dtype) for _ in range(3)]
    dims = [None if i in shared else 0 for i in range(3)]
    given = [x[0] if d is None else x for x, d in zip(given, dims, strict=True)]
    together = torch.func.vmap(lambda a, b, c: products.fma(a, b, c, 3.4445, 2.0315), in_dims=tuple(dims))(
        *given
    )
    for i, made in enumerate(together):
        alone = [x if d is None else x[i] for x, d in zip(given, dims, strict=True)]
        assert torch.equal(made, products.fma(*alone, 3.4445, 2.0315))


def test_vmap_of_vmap_and_the_gradient_of_a_fused_product():
    g = torch.Generator().manual_seed(0)
    given = [torch.randn(2, 3, 4, 4, generator=g, dtype=torch.float64) for _ in range(3)]

    def size(a, b, c):
        return products.fma(a, b, c, 0.5, -2.0).square().sum()

    twice = torch.func.vmap(torch.func.vmap(products.fma))(*given)
    torch.testing.assert_close(twice, given[0] + given[1] @ given[2], rtol=0, atol=1e-12)
    found = torch.func.vmap(torch.func.grad(size, argnums=(0, 1, 2)))(*(x[0] for x in given))
    for i in range(3):
        alone = [x[0, i].clone().requires_grad_() for x in given]
        size(*alone).backward()
        for x, made in zip(alone, found, strict=True):
            torch.testing.assert_close(made[i], x.grad, rtol=0, atol=1e-12)
