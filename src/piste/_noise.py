"""Random numbers that do not depend on how the work is cut.

Element i of parameter ``name`` at step t is a hash of (seed, name, t, i): the same whole, sharded, batched, compiled
and resumed. The mixing function is splitmix64's finaliser (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
Generators", 2014), on int64 with wrap-around; two 24-bit halves give a Box-Muller normal.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor


def stream(seed: int, name: str, step: int) -> int:
    """A 63-bit key of the stream."""
    return (
        int.from_bytes(hashlib.blake2b(f"{seed}/{name}/{step}".encode(), digest_size=8).digest(), "big") >> 1
    )


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: int64 has only the arithmetic one."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    x = (x ^ _shift(x, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    return x ^ _shift(x, 31)


def normal(like: Tensor, key: int, indices: Tensor | None = None) -> Tensor:
    """Standard normal numbers in the shape of ``like``, whose elements have these indices in the whole tensor (None:
    all of them, in order)."""
    i = torch.arange(like.numel(), device=like.device) if indices is None else indices.reshape(-1)
    bits = _mix(_mix(i * -7046029254386353131) ^ key)  # 0x9E3779B97F4A7C15
    u1 = (_shift(bits, 40) + 1).to(torch.float64) * 2.0**-24
    u2 = (bits & 0xFFFFFF).to(torch.float64) * 2.0**-24
    z = (-2.0 * u1.log()).sqrt() * (2.0 * math.pi * u2).cos()
    return z.to(like.dtype).view(like.shape)
