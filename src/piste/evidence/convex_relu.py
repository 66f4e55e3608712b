"""Two-layer ReLU networks trained to their global optimum: the convex program of their activation patterns, its
solution by ADMM, and a certificate from the dual.

The network Σⱼ (X uⱼ)₊ αⱼ with the loss ½‖· - y‖² + β/2 Σ (‖uⱼ‖² + αⱼ²) has the same optimum as

    min ½‖Σᵢ Dᵢ X (vᵢ - wᵢ) - y‖² + β Σᵢ (‖vᵢ‖ + ‖wᵢ‖)   with (2Dᵢ - I) X vᵢ ≥ 0, (2Dᵢ - I) X wᵢ ≥ 0

over all patterns Dᵢ = diag(X h ≥ 0), if it is wide enough.

Reference: "Efficient Global Optimization of Two-layer ReLU Networks: Quadratic-time Algorithms and Adversarial
Training", Yatong Bai, Tanmay Gautam, Somayeh Sojoudi, 2022, https://arxiv.org/abs/2201.01965
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """Weights (…, 2, patterns, size), v before w, with exact zeros, and how far each step of ADMM moved them."""

    weights: Tensor
    moved: list[float]


def patterns(x: Tensor) -> tuple[Tensor, Tensor]:
    """All activation patterns (P, rows) that a neuron can have on rows of two numbers, and the angles (P, 2) between
    which its weights then lie."""
    turns = torch.atan2(x[:, 1], x[:, 0])
    ends = torch.sort(torch.cat([turns + math.pi / 2, turns - math.pi / 2]) % (2 * math.pi)).values
    after = torch.cat([ends[1:], ends[:1] + 2 * math.pi])
    middle = (ends + after) / 2
    active = x @ torch.stack([middle.cos(), middle.sin()]) >= 0
    return active.mT.to(x.dtype), torch.stack([ends, after], 1)


def sampled(x: Tensor, count: int, random: torch.Generator) -> Tensor:
    """The patterns (count, rows) of neurons with normal weights."""
    h = torch.randn(x.shape[1], count, generator=random, dtype=x.dtype)
    return (x @ h >= 0).mT.to(x.dtype)


def admm(
    x: Tensor, y: Tensor, active: Tensor, beta: float, rho: float, steps: int = 4000, close: float = 1e-13
) -> Solution:  # fmt: skip
    """Solve the convex program for the patterns ``active`` (…, P, rows) of ``x`` (…, rows, size), several at once where
    there are more axes. ``rho`` weights the splitting, a copy for the norms and one for the cones; it ends where a step
    moves less than ``close`` of what there is."""
    *batch, count, rows = active.shape
    shape = (*batch, 2, count, x.shape[-1])
    masked = (active[..., None] * x[..., None, :, :]).transpose(-2, -3).reshape(*batch, rows, -1)
    f = torch.cat([masked, -masked], -1)
    cones = ((2 * active - 1)[..., None] * x[..., None, :, :])[..., None, :, :, :]  # the same for v and w
    blocks = _diagonal((cones.mT @ cones).expand(*batch, 2, count, x.shape[-1], x.shape[-1]))
    matrix = torch.eye(f.shape[-1], dtype=x.dtype) + f.mT @ f / rho + blocks
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    seen = (f.mT @ y[..., None] / rho).view(shape)
    v, off = torch.zeros(shape, dtype=x.dtype), torch.zeros(shape, dtype=x.dtype)
    s = tilt = torch.zeros(*batch, 2, count, rows, 1, dtype=x.dtype)
    moved: list[float] = []
    for _ in range(steps):
        right = seen + v - off + (cones.mT @ (s - tilt))[..., 0]
        u = (inverse @ right.reshape(*batch, -1, 1)).view(shape)
        inside = cones @ u[..., None]
        new = shrunk(u + off, beta / rho)
        moved.append(float((new - v).norm() + (new - u).norm()))
        v, s = new, (inside + tilt).clamp(min=0)
        off, tilt = off + u - v, tilt + inside - s
        if moved[-1] <= close * float(1e-9 + v.norm()):
            break
    return Solution(v, moved)


def _diagonal(blocks: Tensor) -> Tensor:
    """The matrix (…, m·d, m·d) of the blocks (…, 2, P, d, d) on its diagonal."""
    *batch, two, count, size, _ = blocks.shape
    spread = torch.eye(two * count, dtype=blocks.dtype)[:, None, :, None] * blocks.reshape(
        *batch, -1, size, 1, size
    )
    return spread.reshape(*batch, two * count * size, two * count * size)


def shrunk(v: Tensor, by: float) -> Tensor:
    """Every last-axis vector, shorter by so much, or 0."""
    size = v.norm(dim=-1, keepdim=True)
    return v * (1 - by / size.clamp(min=1e-300)).clamp(min=0)


def program(weights: Tensor, x: Tensor, y: Tensor, active: Tensor, beta: float) -> Tensor:
    """The objective of the convex program at (…, 2, P, size)."""
    inside = active * ((weights[..., 0, :, :] - weights[..., 1, :, :]) @ x.mT)
    return 0.5 * (inside.sum(-2) - y).square().sum(-1) + beta * weights.norm(dim=-1).sum((-1, -2))


def network(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The neurons (m, size) and (m) that the weights of the program stand for: u = v/√‖v‖, α = √‖v‖, and -√‖w‖."""
    size = weights.norm(dim=-1)
    kept = size > 0
    sign = torch.tensor([1.0, -1.0], dtype=weights.dtype)[:, None].expand_as(size)
    root = size[kept].sqrt()
    return weights[kept] / root[:, None], sign[kept] * root


def objective(first: Tensor, second: Tensor, x: Tensor, y: Tensor, beta: float) -> Tensor:
    """The loss of networks (…, m, size), (…, m)."""
    said = ((first @ x.mT).clamp(min=0) * second.unsqueeze(-1)).sum(-2)
    decay = first.square().sum((-1, -2)) + second.square().sum(-1)
    return 0.5 * (said - y).square().sum(-1) + 0.5 * beta * decay


def certificate(residual: Tensor, x: Tensor, y: Tensor, beta: float) -> float:
    """A number that no network's loss goes below, for rows of two numbers: the dual ½‖y‖² - ½‖y - λ‖² at λ = c·residual
    (y less what is said), c such that |λᵀ(X u)₊| ≤ β for all unit u."""
    active, ends = patterns(x)
    most = torch.zeros((), dtype=x.dtype)
    for sign in (1.0, -1.0):
        slope = sign * (active * residual) @ x  # λᵀ(X u)₊ = slope·u between the ends
        turn = torch.atan2(slope[:, 1], slope[:, 0])
        turn = turn + 2 * math.pi * torch.ceil((ends[:, 0] - turn) / (2 * math.pi))
        size = slope.norm(dim=1)
        at_ends = (slope[:, :1] * ends.cos() + slope[:, 1:] * ends.sin()).amax(1)
        most = torch.maximum(most, torch.where(turn <= ends[:, 1], size, at_ends).max())
    scale = min(beta / float(most), float(residual @ y / residual.square().sum()))
    return float(0.5 * y.square().sum() - 0.5 * (y - scale * residual).square().sum())


def task(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows (x, 1), x evenly from -1 to 1 but for a shake, and targets: a wave and some noise."""
    random = torch.Generator().manual_seed(seed)
    shake = torch.rand(rows, generator=random, dtype=torch.float64) - 0.5
    inputs = torch.linspace(-1, 1, rows, dtype=torch.float64) + shake / rows
    noise = 0.3 * torch.randn(rows, generator=random, dtype=torch.float64)
    return torch.stack([inputs, torch.ones_like(inputs)], 1), torch.sin(4 * inputs) + noise
