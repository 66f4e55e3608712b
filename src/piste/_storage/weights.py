"""Weights in bf16 that do not lose what bf16 cannot hold.

References: "Revisiting BFloat16 Training", Zamirai, Zhang, Aberger and De Sa, 2020, https://arxiv.org/abs/2010.06192
(stochastic rounding and Kahan sums); error bits: "FlashOptim: Optimizers for Memory Efficient Training", Gonzalez
Ortiz, Gupta, Renard and Blalock, 2026,
https://arxiv.org/abs/2602.23349 (there the error is a share of the rounding interval, here it is the next bits).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .._noise import _mix
from .codec import Parts, Shape


def uniform_bits(like: Tensor, key: int, indices: Tensor | None = None) -> Tensor:
    """Uniform integers in [0, 2^16) as int32, in the shape of ``like``: of the elements ``indices``, or of all."""
    i = torch.arange(like.numel(), device=like.device) if indices is None else indices.reshape(-1)
    bits = _mix(_mix(i * -7046029254386353131) ^ key)  # the multiplier of _noise.normal
    return (bits & 0xFFFF).to(torch.int32).view(like.shape)


def _bits(value: Tensor) -> Tensor:
    """The float32's bits, every NaN as the one whose low bits are zero: adding to others would overflow."""
    return torch.where(value == value, value, torch.nan).view(torch.int32)


def _bf16(bits: Tensor) -> Tensor:
    return bits.view(torch.float32).to(torch.bfloat16)


@dataclass(frozen=True)
class Stochastic:
    """Up or down to a neighbouring bf16 with the chance that makes the mean right: E[stored] = value.

    Infinities and NaN stay; above bf16's largest number, 3.39e38, infinity is the upper neighbour.
    """

    name: str = "bf16_stochastic"
    noisy: bool = True

    def parts(self, shape: Shape) -> Parts:
        return {"": (shape, torch.bfloat16)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        return parts[""].to(torch.float32)

    def encode(
        self, value: Tensor, parts: Mapping[str, Tensor], noise: Tensor | None = None
    ) -> dict[str, Tensor]:
        if noise is None:
            raise ValueError(f"{self.name} needs noise: pass uniform_bits(value, key)")
        return {"": _bf16((_bits(value) + noise) & -0x10000)}


@dataclass(frozen=True)
class Kahan:
    """The nearest bf16, and what it leaves over: in bf16 (relative error of the master 2^-16) or float32 (exact)."""

    name: str = "bf16_kahan"
    dtype: torch.dtype = torch.bfloat16
    noisy: bool = False

    def parts(self, shape: Shape) -> Parts:
        return {"": (shape, torch.bfloat16), "compensation": (shape, self.dtype)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        return parts[""].to(torch.float32) + parts["compensation"].to(torch.float32)

    def encode(
        self, value: Tensor, parts: Mapping[str, Tensor], noise: Tensor | None = None
    ) -> dict[str, Tensor]:
        bits = _bits(value)
        # to the nearest, ties to even, by bits: compilers take a cast there and back for nothing
        near = ((bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000).view(torch.float32)
        rest = torch.where(near.isfinite(), value - near, 0.0)  # inf - inf would spoil an infinite weight
        return {"": near.to(torch.bfloat16), "compensation": rest.to(self.dtype)}


@dataclass(frozen=True)
class ErrorBits:
    """A master of 24 bits: the nearest bf16 and the eight bits that follow, as int8. Relative error 2^-16.

    The master is the float32 rounded to 16 significant bits (ties away from zero): R = (bits + 2^7) >> 8, and
    R = 2^8 W + e with e in [-128, 127] gives the weight's bits W and the error e exactly.
    """

    name: str = "bf16_error_bits"
    noisy: bool = False

    def parts(self, shape: Shape) -> Parts:
        return {"": (shape, torch.bfloat16), "error": (shape, torch.int8)}

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor:
        weight = parts[""].to(torch.float32).view(torch.int32)
        return (weight + parts["error"].to(torch.int32) * 256).view(torch.float32)

    def encode(
        self, value: Tensor, parts: Mapping[str, Tensor], noise: Tensor | None = None
    ) -> dict[str, Tensor]:
        master = (_bits(value) + 128) >> 8
        weight = (master + 128) >> 8
        return {"": _bf16(weight << 16), "error": (master - (weight << 8)).to(torch.int8)}
