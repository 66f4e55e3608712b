"""Linear layers whose matrix products see four-bit operands: MXFP4, emulated."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._noise import _mix, stream
from .._registry import register
from .._routing import roles

BLOCK = 32  # elements that share a scale
LARGEST = 6.0  # of 0, ½, 1, 1½, 2, 3, 4, 6
SHRINK = 0.75  # what stochastic rounding scales by, so that nothing lies above the largest
GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, splitmix64's increment


def rounded(x: Tensor, noise: Tensor | None = None) -> Tensor:
    """``x`` as MXFP4 holds it, in blocks of 32 along its last axis: elements E2M1, one scale E8M0 for each block.

        X = 2^(⌊log₂ max|x|⌋ - 2)
        nearest:                        X · fp4(x / X), what lies above 6 becomes 6
        with ``noise`` in [0, 1):       X · fp4(¾ x / X), up with the chance that makes its mean ¾ x

    Without noise ties go to even. The result is in the dtype of ``x``; with noise it stands for three quarters of it.

    Reference: "Training LLMs with MXFP4", Albert Tseng, Tao Yu, Youngsuk Park, 2025, https://arxiv.org/abs/2502.20586,
    algorithms 1 and 2
    """
    length, wide = x.shape[-1], x.to(torch.promote_types(x.dtype, torch.float32))
    blocks = F.pad(wide, (0, -length % BLOCK)).unflatten(-1, (-1, BLOCK))
    largest = blocks.abs().amax(-1, keepdim=True)
    exponent = (torch.frexp(largest).exponent - 3).clamp(
        -127, 127
    )  # frexp's mantissa is below 1, not below 2
    scale = torch.ldexp(torch.ones_like(largest), exponent)
    scale = torch.where(
        largest.isfinite(), scale, torch.nan
    )  # the format's own way to say so; loss scalers look for it
    size = blocks.abs() / scale
    size = size if noise is None else SHRINK * size
    step = torch.ldexp(torch.ones_like(size), torch.frexp(size).exponent.clamp(min=1) - 2)
    if noise is None:
        size = torch.round(size / step) * step
    else:
        noise = F.pad(noise, (0, -length % BLOCK)).unflatten(-1, (-1, BLOCK))
        size = torch.floor(size / step + noise) * step
    made = size.clamp(max=LARGEST) * scale
    return torch.copysign(made, blocks).flatten(-2)[..., :length].to(x.dtype)


@lru_cache(maxsize=16)
def hadamard(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sylvester's matrix over √size: orthogonal, entries of one size."""
    made = torch.ones(1, 1, device=device, dtype=torch.float64)
    for _ in range(size.bit_length() - 1):
        made = torch.cat([torch.cat([made, made], 1), torch.cat([made, -made], 1)])
    return (made / math.sqrt(size)).to(dtype)


def bits(count: int, key: Tensor) -> Tensor:
    """That many random words of 32 bits: splitmix64 in counter mode from a 0-d int64 key, two from each number."""
    i = torch.arange(1, (count + 1) // 2 + 1, device=key.device)
    return _mix(i * GOLDEN + key).view(torch.int32)[:count]


def uniform(like: Tensor, key: Tensor) -> Tensor:
    """Numbers in [0, 1) with 24 bits, in the shape of ``like``."""
    return ((bits(like.numel(), key) & 0xFFFFFF).to(like.dtype) * 2.0**-24).view(like.shape)


def product(a: Tensor, b: Tensor, key: Tensor, rotate: int | None = 64, stochastic: bool = True) -> Tensor:
    """An estimate of a bᵀ for ``a`` [m, k] and ``b`` [n, k], from operands rounded to MXFP4 along k.

        a, b ← a S H, b S H        in blocks of ``rotate``: random signs, then Hadamard's matrix
        stochastic:  16/9 · rounded(a, noise) rounded(b, noise)ᵀ,  whose mean is a bᵀ
        nearest:     rounded(a) rounded(b)ᵀ

    One draw of signs for all blocks, as in the authors' code. Random bits depend on ``key`` (0-d, int64) and the place
    of the element alone.
    """
    if rotate is not None:
        signs = (bits(rotate, key) >> 31 | 1).to(a.dtype)
        turn = signs[:, None] * hadamard(rotate, a.device, a.dtype)
        a, b = (_turned(x, turn) for x in (a, b))
    if not stochastic:
        return rounded(a) @ rounded(b).mT
    first, second = _mix(key + 1), _mix(key + 2)
    return rounded(a, uniform(a, first)) @ rounded(b, uniform(b, second)).mT / SHRINK**2


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    size = len(turn)
    return (F.pad(x, (0, -x.shape[-1] % size)).unflatten(-1, (-1, size)) @ turn).flatten(-2)


class _Linear(torch.autograd.Function):
    """x Wᵀ + b, whose two backward products are estimates."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: MXFP4Linear) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer, ctx.bias = layer, None if bias is None else bias.dtype
        if not layer.forward_too:
            return F.linear(x, weight, bias)
        return F.linear(rounded(x), rounded(weight), bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        layer: MXFP4Linear = ctx.layer
        wide = torch.promote_types(weight.dtype, torch.float32)
        g = grad.reshape(-1, grad.shape[-1]).to(wide)
        key = layer.drawn()
        how = {"rotate": layer.rotate, "stochastic": layer.stochastic}
        to_input = to_weight = to_bias = None
        with torch.autocast(grad.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                to_input = product(g, weight.mT.to(wide), key, **how).view(x.shape).to(x.dtype)
            if ctx.needs_input_grad[1]:
                seen = x.reshape(-1, x.shape[-1]).to(wide)
                to_weight = product(g.mT, seen.mT, _mix(key), **how).to(weight.dtype)
            if ctx.needs_input_grad[2]:
                to_bias = g.sum(0).to(ctx.bias)
        return to_input, to_weight, to_bias, None


class MXFP4Linear(nn.Module):
    """A linear layer that trains on four-bit operands: both products of its backward pass are unbiased estimates.

        forward:   y = x Wᵀ + b                            in the precision that it has
        backward:  dx = 16/9 · Q(G S H) Q(Wᵀ S H)ᵀ,  dW = 16/9 · Q(Gᵀ S H) Q(xᵀ S H)ᵀ

    Q rounds ¾ of its operand to MXFP4 stochastically, in blocks of 32 along the axis that is summed over; S H is a
    random Hadamard transform of blocks of ``rotate``, which spreads outliers, so that the variance of an estimate grows
    with the logarithm of the block instead of with the block.

    When: to see, before the hardware is bought, whether a model trains in MXFP4. This is an emulation: values are those
    of four-bit operands with products in float32, memory and time are not. ``rotate`` from 64 to 256, a power of two
    (64 is the authors' default); None turns it off; ``stochastic=False`` rounds to the nearest, which is biased.
    ``forward_too`` rounds the forward product as well, to the nearest (the authors keep it in bf16 or FP8).

    Random bits are a function of the layer's ``key`` and of how many backward passes it has had; both are buffers, so a
    resumed run draws what an uninterrupted one would. Autocast and activation checkpointing work. Not supported: second
    derivatives (an error), ``torch.func`` transforms, and the order of shards: ranks draw the same bits for their own
    rows.

    Errors (ValueError): a ``rotate`` that is no power of two of at least 2.

    Reference: "Training LLMs with MXFP4", Albert Tseng, Tao Yu, Youngsuk Park, 2025, https://arxiv.org/abs/2502.20586

    Deviations from the authors' code (amazon-science/mxfp4-llm@0cc57fe): random numbers come from counters and not from
    a global generator; widths that are no multiple of a block are filled up with zeros, where theirs must be multiples;
    nearest rounding sends ties to even, where microxcaling rounds them away from zero.
    """

    key: Tensor
    passes: Tensor

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, rotate: int | None = 64,
        stochastic: bool = True, forward_too: bool = False, seed: int = 0, name: str = "", device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        plain = nn.Linear(in_features, out_features, bias, device=device, dtype=dtype)
        self._take(plain, rotate, stochastic, forward_too, stream(seed, name, 0))

    def _take(
        self, plain: nn.Linear, rotate: int | None, stochastic: bool, forward_too: bool, key: int
    ) -> None:
        if rotate is not None and (rotate < 2 or rotate & (rotate - 1)):
            raise ValueError(f"rotate is a power of two such as 64, 128 or 256, or None; got {rotate!r}")
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.rotate, self.stochastic, self.forward_too = rotate, stochastic, forward_too
        self.weight, self.bias = plain.weight, plain.bias
        where = plain.weight.device
        self.register_buffer("key", torch.tensor(key, device=where))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64, device=where))

    @classmethod
    def of(
        cls, plain: nn.Linear, key: int, rotate: int | None, stochastic: bool, forward_too: bool
    ) -> MXFP4Linear:
        """The same layer with the same parameters (not copies of them)."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made._take(plain, rotate, stochastic, forward_too, key)
        return made.train(plain.training)

    def drawn(self) -> Tensor:
        """The key of one backward pass; the next has another."""
        key = _mix(self.passes * GOLDEN + self.key)
        self.passes += 1
        return key

    def forward(self, x: Tensor) -> Tensor:
        return _Linear.apply(x, self.weight, self.bias, self)  # type: ignore[return-value]

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"rotate={self.rotate}, stochastic={self.stochastic}"
        )


def mxfp4(
    model: nn.Module, rotate: int | None = 64, stochastic: bool = True, forward_too: bool = False,
    head: bool = False, seed: int = 0,
) -> nn.Module:  # fmt: skip
    """Every ``nn.Linear`` inside a model becomes an :class:`MXFP4Linear` with the same parameters, in place; returns
    the model.

    Output layers are left as they are, as in the authors' code, unless ``head``; one whose weight is an embedding's is
    left in any case. Names in the state dict stay, two buffers for each layer come to them. Do this before the
    optimizer is made. Errors (ValueError): no linear layer was found, or ``rotate`` is no power of two.

    Reference: "Training LLMs with MXFP4", Albert Tseng, Tao Yu, Youngsuk Park, 2025, https://arxiv.org/abs/2502.20586
    """
    left = {"tied"} if head else {"tied", "head"}
    found = roles(model)
    kinds = {id(p): found[name].kind for name, p in model.named_parameters()}
    made: dict[int, MXFP4Linear] = {}
    for path, owner in list(model.named_modules()):
        for name, child in list(owner._modules.items()):
            inside = f"{path}.{name}" if path else name
            if type(child) is not nn.Linear:
                continue
            if id(child) not in made and kinds[id(child.weight)] not in left:
                key = stream(seed, inside, 0)
                made[id(child)] = MXFP4Linear.of(child, key, rotate, stochastic, forward_too)
            if id(child) in made:
                setattr(owner, name, made[id(child)])
    if not made:
        raise ValueError(
            f"{type(model).__name__} has no nn.Linear but its output layer: there is nothing to compute in MXFP4 "
            "(head=True takes that one too)"
        )
    return model


register("memory", "MXFP4Linear", MXFP4Linear)
register("memory", "mxfp4", mxfp4)
