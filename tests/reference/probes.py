"""The random numbers that piste's rules are handed, written once more with Python's own integers.

Number i of parameter "param_k" at step t: a key is the first 8 bytes of BLAKE2b of "0/param_k/t", halved; i times the
golden ratio of 2⁶⁴ is mixed by splitmix64's finaliser, xored with the key and mixed again; the upper and the lower 24
bits, as u₁ in (0, 1] and u₂ in [0, 1), give the normal √(-2 ln u₁) cos 2πu₂ (Box and Muller).
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

WORD = (1 << 64) - 1


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def probe(shape: tuple[int, ...] | torch.Size, parameter: int, step: int) -> Tensor:
    """Standard normal numbers for a parameter at a step, counted from 1."""
    name = f"0/param_{parameter}/{step}".encode()
    key = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1
    numbers = []
    for i in range(math.prod(shape)):
        bits = mix(mix((i * 0x9E3779B97F4A7C15) & WORD) ^ key)
        u1, u2 = ((bits >> 40) + 1) / (1 << 24), (bits & 0xFFFFFF) / (1 << 24)
        numbers.append(math.sqrt(-2 * math.log(u1)) * math.cos(2 * math.pi * u2))
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)
