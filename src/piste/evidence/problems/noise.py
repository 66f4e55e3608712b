"""Quadratics whose noise depends on where they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..problem import Problem, problem
from .quadratics import quadratic


@problem
def affine_quadratic(
    spectrum: Sequence[float] = (1.0, 0.5, 0.1), seed: int = 0, still: float = 1.0, growth: float = 1.0
) -> Problem:
    """A rotated quadratic whose gradient comes with Gaussian noise of mean 0 and affine variance: E‖g - ∇f‖² = still² +
    growth² ‖∇f‖², spread evenly over the coordinates."""
    p = quadratic(spectrum, seed)
    size = len(spectrum)

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        with torch.enable_grad():  # draws are looked at without gradients, too
            here = p.gradient(x).square().sum()
        noise = torch.randn(x.shape, generator=random, dtype=x.dtype)
        return p.loss(x) + ((still**2 + growth**2 * here) / size).sqrt() * (noise * (x - p.start)).sum()

    return replace(p, name="affine quadratic", draw=draw, noise="Gaussian, its variance affine in ‖∇f‖²")
