"""Adam on a window of sparse gradients; what they leave out is kept in four bits and added to the next one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .._transform import index, moment, ring, transform

LEVELS = 15  # of four bits, above the least
LONGEST = 1 << 15  # block whose places 16 bits tell


def _cut(size: int, block: int, density: float) -> list[tuple[int, int, int]]:
    """How many blocks of which length keep how many entries each: equal ones, then what is left over."""
    length = min(block, size)
    several, left = divmod(size, length)
    return [(k, n, math.ceil(density * n)) for k, n in ((several, length), (1, left)) if n]


def _kept(m: int, n: int, hyper: Mapping[str, Any]) -> int:
    cut = _cut(m * n, int(hyper["topk_block_size"]), float(hyper["density"]))
    return sum(blocks * few for blocks, _, few in cut)


def _halves(m: int, n: int, hyper: Mapping[str, Any]) -> int:
    return 2 * _kept(m, n, hyper)


def _bytes(m: int, n: int, hyper: Mapping[str, Any]) -> int:
    return -(-m * n // 2)


def _buckets(m: int, n: int, hyper: Mapping[str, Any]) -> int:
    return -(-m * n // int(hyper["quant_block_size"]))


bound = moment("buckets", length=_buckets)


@transform(
    scope="tensor",
    invariant=("sign",),
    precision=1e-2,  # a code in the middle between two goes up
    error=index("pairs", length=_bytes, dtype=torch.uint8),
    low=bound,
    high=bound,
    values=ring("ngrads", moment)("ngrads kept", length=_kept),
    # in two bytes, for there are no messages of 16-bit integers between processes
    places=ring("ngrads", index)("ngrads halves", length=_halves, dtype=torch.uint8),
)
def scale_by_microadam(
    g: Tensor, step: Any, error: Tensor, low: Tensor, high: Tensor, values: Tensor, places: Tensor, *, beta1: float,
    beta2: float, eps: float, ngrads: int = 10, density: float = 0.01, topk_block_size: int = 16384,
    quant_block_size: int = 64,
) -> Any:  # fmt: skip
    """Adam's moments from the last ``ngrads`` sparse gradients, with compressed error feedback.

        a = g + Q⁻¹(ξ);   c = the largest ⌈ρB⌉ entries of every block of B of a;   ξ ← Q(a - c)
        m̂ = (1-β₁)/(1-β₁ᵗ) Σ β₁^r c_r;   v̂ = (1-β₂)/(1-β₂ᵗ) Σ β₂^r c_r²;   u = m̂ / (√v̂ + ε)

    The sums go over the window, r steps back. Q rounds to 16 equal steps between the least and the largest of every
    ``quant_block_size`` entries. A weight takes half a byte for ξ and 6 for every row and entry kept
    (4 with ``storage="bf16"``).

    Reference: "MicroAdam: Accurate Adaptive Optimization with Low Space Overhead and Provable Convergence", Ionut-Vlad
    Modoranu, Mher Safaryan, Grigory Malinovsky, Eldar Kurtic, Thomas Robert, Peter Richtarik, Dan Alistarh, 2024,
    https://arxiv.org/abs/2405.15593
    """
    a = g.reshape(-1)
    size = a.numel()
    a = a + unquantized(error, low, high, quant_block_size, a)
    inside, start = _largest(a, _cut(size, topk_block_size, density))
    at = inside + start
    row = a.gather(0, at)
    codes, low, high = quantized(a.scatter(0, at, 0.0), quant_block_size, low.dtype)
    rows = torch.cat([values[1:], row.unsqueeze(0)])
    high_byte, low_byte = places[1:].long().chunk(2, -1)
    where = torch.cat([256 * high_byte + low_byte + start, at.unsqueeze(0)]).reshape(-1)
    age = torch.arange(len(rows) - 1, -1, -1, dtype=a.dtype, device=a.device).unsqueeze(1)

    def total(x: Tensor, beta: Any) -> Tensor:
        decayed = (beta**age).to(a.dtype) * x
        return a.new_zeros(size).scatter_add(0, where, decayed.reshape(-1)) * ((1 - beta) / (1 - beta**step))

    u = total(rows, beta1) / (total(rows.square(), beta2).sqrt() + eps)
    place = torch.cat([inside // 256, inside % 256]).to(places.dtype)
    return u.view(g.shape), codes.to(error.dtype), low, high, row, place


def _largest(a: Tensor, cut: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
    """The places of each block's largest entries within it, and where the blocks begin."""
    inside, starts, first = [], [], 0
    for blocks, length, few in cut:
        part = a[first : first + blocks * length].view(blocks, length)
        inside.append(part.abs().topk(few).indices.reshape(-1))
        begin = first + length * torch.arange(blocks, device=a.device)
        starts.append(begin.repeat_interleave(few))
        first += blocks * length
    return torch.cat(inside), torch.cat(starts)


def quantized(x: Tensor, block: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Two codes of four bits a byte, and every block's least and largest number, rounded to ``dtype``."""
    full = torch.cat([x, x[-1:].expand(-len(x) % block)]).view(-1, block)
    low, high = full.amin(-1).to(dtype), full.amax(-1).to(dtype)
    least, unit = _scale(low, high, x.dtype)
    codes = ((full - least) / torch.where(unit > 0, unit, 1.0) + 0.5).floor().clamp(0, LEVELS)
    codes = codes.reshape(-1)[: len(x)].to(torch.uint8)
    pairs = torch.cat([codes, codes.new_zeros(len(x) % 2)]).view(-1, 2)
    return pairs[:, 0] * 16 + pairs[:, 1], low, high


def unquantized(code: Tensor, low: Tensor, high: Tensor, block: int, like: Tensor) -> Tensor:
    """The numbers, as many and of the kind of ``like``."""
    least, unit = _scale(low, high, like.dtype)
    both = code.to(torch.int32)
    q = torch.stack([both // 16, both % 16], -1).reshape(-1)[: len(like)]
    q = torch.cat([q, q.new_zeros(-len(like) % block)]).view(-1, block)
    return (q * unit + least).reshape(-1)[: len(like)]


def _scale(low: Tensor, high: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    least, most = low.to(dtype).unsqueeze(-1), high.to(dtype).unsqueeze(-1)
    return least, (most - least) / LEVELS
