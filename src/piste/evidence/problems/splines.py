"""Kolmogorov-Arnold networks on residuals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..problem import Problem, problem
from .wells import Field, held, places


def splines(s: Tensor, grid: int = 8) -> Field:
    """The grid + 3 cubic B-splines on (-1, 1): a last axis of them."""
    v = (s[..., None] + 1) * (grid / 2) - torch.arange(-3, grid, dtype=s.dtype) - 2
    wide, near, unit = (2 - v.abs()).clamp_min(0), (1 - v.abs()).clamp_min(0), grid / 2
    value = (wide**3 - 4 * near**3) / 6
    return value, -v.sign() * (wide**2 / 2 - 2 * near**2) * unit, (wide - 4 * near) * unit**2


def kan(theta: Tensor, x: Tensor) -> Field:
    """A Kolmogorov-Arnold network of one input, 4 hidden units and one output: 8 functions of 11 B-splines each, with
    tanh between the layers, which keeps values in the splines' range."""
    inner, outer = theta.unflatten(-1, (2, 4, 11)).unbind(-3)
    z, dz, ddz = (basis @ inner.mT for basis in splines(x))
    s = torch.tanh(z)
    slope = 1 - s * s
    ds, dds = slope * dz, slope * ddz - 2 * s * slope * dz.square()
    f, df, ddf = ((basis * outer.unsqueeze(-3)).sum(-1) for basis in splines(s))
    return f.sum(-1), (df * ds).sum(-1), (ddf * ds.square() + df * dds).sum(-1)


@problem
def spline_poisson(seed: int = 0) -> Problem:
    """f = mean (u'' + f°)² at 100 points of (-1, 1), u = (1 - x²) times :func:`kan`, f° that of sin πx + 0.2 sin 6πx: a
    physics-informed Kolmogorov-Arnold network of 88 numbers.

    Source: "Kolmogorov Arnold Informed neural network: A physics-informed deep learning framework for solving PDEs
    based on Kolmogorov Arnold Networks", Yizheng Wang et al., 2024.
    """
    x, random = places(100, -1, 1), torch.Generator().manual_seed(seed)
    mask = (1 - x.square(), -2 * x, torch.full_like(x, -2))
    bend = -(math.pi**2) * ((math.pi * x).sin() + 0.2 * 36 * (6 * math.pi * x).sin())

    def loss(theta: Tensor) -> Tensor:
        return (held(kan(theta, x), mask)[2] - bend).square().mean()

    return Problem(
        "Poisson's equation by splines", loss, 0.3 * torch.randn(88, generator=random, dtype=torch.float64)
    )
