"""Residuals of differential equations, of models that are linear in their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..problem import Problem, problem


def _ones(k: Tensor) -> Tensor:
    return torch.ones_like(k)


@problem
def poisson(
    modes: int = 4, seed: int = 0, scale: Callable[[Tensor], Tensor] = _ones, weight: float = 0.5 / math.pi
) -> Problem:
    """½ ∫ (u'' + f)² + λ/2 (u(-π)² + u(π)²) for -u'' = f on (-π, π) with zeros at its ends, where u is a constant plus
    sums of sin kx and cos kx, k ≤ modes, mode k multiplied by ``scale(k)``; θ their coefficients, f that of a random
    such u.

    The integral is a mean over 4 · modes + 4 points times 2π, which is exact for such sums. L and μ are the largest
    and the smallest eigenvalue of A_ij = ⟨φ_i'', φ_j''⟩ + λ Σ φ_i φ_j at the ends. The start is 0.
    """
    count = 4 * modes + 4
    x = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count - math.pi
    k = torch.arange(1, modes + 1, dtype=torch.float64)
    weights, zero = scale(k), torch.zeros(count, 1, dtype=torch.float64)
    bent = torch.cat(
        [zero, -(k**2) * weights * (x[:, None] * k).sin(), -(k**2) * weights * (x[:, None] * k).cos()], 1
    )
    ends = torch.cat([torch.ones(1, dtype=torch.float64), 0 * k, weights * (math.pi * k).cos()])
    rows = torch.cat([bent * math.sqrt(2 * math.pi / count), ends.repeat(2, 1) * math.sqrt(weight)])
    random = torch.Generator().manual_seed(seed)
    best = torch.randn(2 * modes + 1, generator=random, dtype=torch.float64)
    best = best - ends * (ends @ best) / (ends @ ends)  # so that it is 0 at both ends
    spectrum = torch.linalg.eigvalsh(rows.mT @ rows)
    target = rows @ best

    def loss(theta: Tensor) -> Tensor:
        return 0.5 * (rows @ theta - target).square().sum()

    strength = float(spectrum[0])
    return Problem(
        f"Poisson's equation, {modes} modes", loss, torch.zeros_like(best), 0.0, best, float(spectrum[-1]), strength,
        strength,
    )  # fmt: skip
