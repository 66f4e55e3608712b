"""Matrix products whose result is known to be symmetric, products with a sum folded in, and the dtype for fast ones.

Of a symmetric product the part above the diagonal need not be computed: it is the other part mirrored. The product is
taken in strips of rows, each up to its own end only, of which two cost 3/4 of the flops, four 5/8 and eight 9/16. On a
CPU and for large matrices that wins: in float32 0.78 of the time at 512 x 512, 0.68 at 512 x 1536 and 1024 x 1024, 0.61
at 2048 x 2048; in bf16, whose products are over four times as fast, 0.84 at 512 x 1536, 0.75 at 1024 x 1024 and nothing
at 512 x 512, where small blocks lose what they save. Elsewhere the plain product runs.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import Tensor


@functools.cache
def product_dtype(device_type: str) -> torch.dtype:
    """What products that bear rounding to 8 bits are fastest in: bf16, but float32 on a CPU without instructions for
    it, where bf16 is emulated (70 times slower than float32 on AVX2)."""
    if device_type != "cpu":
        return torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def symmetric(
    left: Tensor, right: Tensor, base: Tensor | None = None, beta: float = 1.0, alpha: float = 1.0
) -> Tensor:
    """`left right`, or `beta base + alpha left right`, where that is symmetric: a Gram matrix, or the product of
    symmetric matrices that commute."""
    m, k = left.shape[-2:]
    ends = _ends(m, k, left.device.type, left.dtype)
    if len(ends) == 1:
        return left @ right if base is None else fma(base, left, right, beta, alpha)
    made = left.new_empty((*left.shape[:-1], left.shape[-2]))
    # straight into its place, but for autograd and vmap, which have no such form
    direct = left.ndim == 2 and not torch.is_grad_enabled() and not _batched(left, right, base)
    for i, j in itertools.pairwise((0, *ends)):
        rows, columns, strip = left[..., i:j, :], right[..., :j], made[..., i:j, :j]
        part = None if base is None else base[..., i:j, :j]
        if not direct:
            strip.copy_(rows @ columns if part is None else fma(part, rows, columns, beta, alpha))
        elif part is None:
            torch.mm(rows, columns, out=strip)
        else:
            torch.addmm(part, rows, columns, beta=beta, alpha=alpha, out=strip)
        made[..., :i, i:j] = strip[..., :i].mT
    return made


def gram_added(h: Tensor, x: Tensor, beta: Any, weight: Any) -> Tensor:
    """βh + w xxᵀ: statistics with one more gradient, in the product's own pass where the numbers are known outside."""
    if isinstance(beta, Tensor):
        return beta * h + weight * symmetric(x, x.mT)
    return symmetric(x, x.mT, h, beta, weight)


def symmetric_flops(m: int, k: int, device_type: str = "cpu", dtype: torch.dtype = torch.float32) -> int:
    """Flops of `symmetric` on m × k times k × m."""
    ends = _ends(m, k, device_type, dtype)
    return sum(2 * k * (j - i) * j for i, j in itertools.pairwise((0, *ends)))


def _ends(m: int, k: int, device_type: str, dtype: torch.dtype) -> tuple[int, ...]:
    """Where the strips end."""
    count = 1
    if device_type == "cpu" and m >= 512:
        if dtype.itemsize >= 4:
            count = 4 if m < 1536 else 8
        elif m * k > 1 << 19:
            count = 2 if m < 1024 else 4
    return tuple(m * (i + 1) // count for i in range(count))


def fma(base: Tensor, left: Tensor, right: Tensor, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """`beta base + alpha left right`, the sum folded into the product's own pass."""
    if left.shape[-1] == 1:
        # outer products are rounded one way alone and another in a batch, which what is singular but for them shows
        return torch.add(beta * base, left * right, alpha=alpha)
    if _batched(base, left, right):
        return _Fused.apply(base, left, right, beta, alpha)
    if base.ndim == 2:
        return torch.addmm(base, left, right, beta=beta, alpha=alpha)
    stacks = (t.reshape(-1, *t.shape[-2:]) for t in (base, left, right))
    return torch.baddbmm(*stacks, beta=beta, alpha=alpha).reshape(base.shape)


class _Fused(torch.autograd.Function):
    """`fma` for vmap, whose own rule takes the fused product apart and rounds in between. In bf16 carried Gram matrices
    then blow up null directions (a singular value of 189 was seen where the loop gives 1.2), and a matrix among
    others comes out unlike the same one alone."""

    @staticmethod
    def forward(base: Tensor, left: Tensor, right: Tensor, beta: float, alpha: float) -> Tensor:
        return fma(base, left, right, beta, alpha)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, left, right, ctx.beta, ctx.alpha = inputs
        ctx.save_for_backward(left, right)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (grad,), (left, right) = grads, ctx.saved_tensors
        return ctx.beta * grad, ctx.alpha * grad @ right.mT, ctx.alpha * left.mT @ grad, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        *tensors, beta, alpha = inputs
        base, left, right = (
            t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(tensors, in_dims[:3], strict=True)
        )
        return fma(base, left, right, beta, alpha), 0


def _batched(*tensors: Tensor | None) -> bool:
    """Whether vmap looks at one of them."""
    return any(t is not None and torch._C._functorch.is_batchedtensor(t) for t in tensors)  # type: ignore[attr-defined]
