"""Decay as a constraint: Lion and AdamW."""

from __future__ import annotations

from typing import Any

import torch

from ..claim import at_most, claim
from .wrong import told

LION = "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts"
IMPLICIT = "Implicit Bias of AdamW: ℓ∞ Norm Constrained Optimization"


def _outside(x: torch.Tensor, side: float) -> float:
    """‖·‖∞ distance to the box."""
    return float((x.abs() - side).clamp(min=0).max())


@claim(
    "Lion",
    LION,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("Lion", weight_decay=0.0),
    seeds=3,
)
def lion_enters_its_box_geometrically(method: Any, seed: int) -> float:
    """With decay λ the distance of Lion's weights to ‖x‖∞ ≤ 1/λ falls by 1 - ηλ in every step, whatever the gradients.

    The largest ratio of distance after and bound over 200 steps of random gradients, from far outside; λ = 2, η = 0.02.
    """
    x = torch.nn.Parameter(20 * torch.randn(30, dtype=torch.float64))
    opt, worst = method([x], lr=0.02, weight_decay=2.0), 0.0
    far = _outside(x.detach(), 0.5)
    for t in range(1, 201):
        x.grad = torch.randn_like(x)
        opt.step()
        worst = max(worst, _outside(x.detach(), 0.5) / (far * (1 - 0.04) ** t))
    return worst


@claim(
    "Lion",
    LION,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=1e-6,
    wrong=told("Lion", weight_decay=0.0),
    seeds=3,
    scale="a quadratic of 10 numbers, minimum outside the box, 800 steps with the rate falling to 0",
)
def lion_solves_the_constrained_problem(method: Any, seed: int) -> float:
    """Lion ends at the minimum of f over ‖x‖∞ ≤ 1/λ.

    The distance of its end to the true constrained minimum of a separable quadratic, over 0.02.
    """
    curvature = torch.rand(10, dtype=torch.float64) + 0.5
    target = 3 * torch.randn(10, dtype=torch.float64)
    x = torch.nn.Parameter(torch.zeros(10, dtype=torch.float64))
    opt = method([x], lr=0.01, weight_decay=1.0)
    for t in range(800):
        opt.param_groups[0]["lr"] = 0.02 * (1 - t / 800)
        x.grad = (curvature * (x.detach() - target)).detach()
        opt.step()
    return float((x.detach() - target.clamp(-1, 1)).abs().max()) / 0.02


@claim(
    "AdamW",
    IMPLICIT,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.01,
    wrong=told("AdamW", weight_decay=0.0),
    seeds=3,
    scale="a quadratic of 10 numbers, minimum outside the box, 1,500 steps with the rate falling to 0",
)
def adamw_ends_inside_its_box(method: Any, seed: int) -> float:
    """With exact gradients AdamW with decay λ can only converge to points of ‖x‖∞ ≤ 1/λ.

    λ ‖x‖∞ at the end, λ = 1, where the free minimum lies at up to 6.
    """
    curvature = torch.rand(10, dtype=torch.float64) + 0.5
    target = 2 * torch.randn(10, dtype=torch.float64) + 4 * torch.tensor([1.0, -1.0] * 5, dtype=torch.float64)
    x = torch.nn.Parameter(torch.zeros(10, dtype=torch.float64))
    opt = method([x], lr=0.02, weight_decay=1.0)
    for t in range(900):
        opt.param_groups[0]["lr"] = 0.02 * (1 - t / 900)
        x.grad = curvature * (x.detach() - target)
        opt.step()
    return float(x.detach().abs().max())


@claim(
    "Lion",
    LION,
    kind="theorem",
    predicts=at_most(0.05),
    tolerance=0.0,
    wrong=told("Lion", weight_decay=0.0),
    seeds=3,
)
def lions_lyapunov_function_falls(method: Any, seed: int) -> float:
    """Within its box H(x, m) = f(x) + (1 - εγ)/(1 + ελ) (‖m‖₁ + λ m·x) falls along Lion's flow, m being the averaged
    gradient, εγ = 1 - β₁ and γ = (1 - β₂)/η.

    All rises of H over all falls in 2,000 steps of η = 2e-3 (a flow has none, steps of this size a few percent); a
    quadratic of 10 numbers whose minimum lies outside the box, λ = 1, β = (0.5, 0.998).
    """
    rate, betas = 2e-3, (0.5, 0.998)
    gamma = (1 - betas[1]) / rate
    epsilon = (1 - betas[0]) / gamma
    curvature = torch.rand(10, dtype=torch.float64) + 0.5
    target = 2 * torch.randn(10, dtype=torch.float64)
    x, m = torch.nn.Parameter(torch.rand(10, dtype=torch.float64) - 0.5), torch.zeros(10, dtype=torch.float64)
    opt, seen = method([x], lr=rate, betas=betas, weight_decay=1.0), []
    for _ in range(2000):
        at = x.detach()
        x.grad = curvature * (at - target)
        loss = 0.5 * (curvature * (at - target).square()).sum()
        seen.append(float(loss + (1 - epsilon * gamma) / (1 + epsilon) * (m.abs().sum() + m @ at)))
        opt.step()
        m = betas[1] * m + (1 - betas[1]) * x.grad
    change = torch.tensor(seen).diff()
    return float(change.clamp(min=0).sum() / -change.clamp(max=0).sum())
