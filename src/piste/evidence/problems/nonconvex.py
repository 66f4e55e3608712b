"""Problems that are not convex and yet have no bad minima."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem


@problem
def phase_retrieval(rows: int = 120, size: int = 10, seed: int = 0, outliers: float = 0.0) -> Problem:
    """f(x) = 1/n Σ |⟨aᵢ, x⟩² - bᵢ|, bᵢ = ⟨aᵢ, x°⟩² of a unit vector x°, but for a share of ``outliers`` that are drawn
    at will: nonsmooth, and weakly convex with ρ = 2 λ_max(AᵀA/n), each term being convex but for -2⟨aᵢ, ·⟩².

    Minima at ±x° without outliers, and f grows sharply (in proportion to the distance) away from them. The start is at
    distance 0.5 of x°; -1 is a symmetry. Source: "Subgradient Methods for Sharp Weakly Convex Functions", Damek Davis,
    Dmitriy Drusvyatskiy, Kellie MacPhee, Courtney Paquette, 2018.
    """
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    truth, off = torch.nn.functional.normalize(torch.randn(2, size, generator=random, dtype=torch.float64))
    spoiled = torch.rand(rows, generator=random, dtype=torch.float64) < outliers
    other = 4 * torch.randn(rows, generator=random, dtype=torch.float64).square()
    b = torch.where(spoiled, other, (a @ truth).square())

    def loss(x: Tensor) -> Tensor:
        return ((a @ x).square() - b).abs().mean()

    return Problem(
        "phase retrieval",
        loss,
        truth + 0.5 * off,
        None if outliers else 0.0,
        None if outliers else truth,
        weak=2 * float(torch.linalg.eigvalsh(a.mT @ a / rows)[-1]),
        radius=0.5,
        symmetries={"the other sign": lambda x: -x},
    )


@problem
def bent_regression(rows: int = 60, size: int = 6, seed: int = 0, slope: float = 0.2) -> Problem:
    """f(x) = 1/2n Σ (σ(⟨aᵢ, x⟩) - σ(⟨aᵢ, x*⟩))² with the link σ(u) = s u + (1 - s) tanh u, whose slope lies between s
    and 1: not convex, and quasar-convex with ζ = 2s, as (σ(u) - σ(v)) (u - v) σ'(u) ≥ s (σ(u) - σ(v))².

    Gradients obey ‖∇f(x)‖² ≤ 2 λ_max(AᵀA/n) f(x), all that smoothness is needed for. Start and x* are drawn from
    N(0, 4I). A draw is one row.
    """
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    best, start = 2 * torch.randn(2, size, generator=random, dtype=torch.float64)

    def link(u: Tensor) -> Tensor:
        return slope * u + (1 - slope) * u.tanh()

    b = link(a @ best)

    def loss(x: Tensor) -> Tensor:
        return 0.5 * (link(a @ x) - b).square().mean()

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        i = int(torch.randint(rows, (), generator=random))
        return 0.5 * (link(a[i] @ x) - b[i]).square()

    return Problem(
        "regression through a bent link", loss, start, 0.0, best, quasar=2 * slope, radius=5.0, draw=draw,
        noise="one row at random",
    )  # fmt: skip


def gradient_bound(rows: int = 60, size: int = 6, seed: int = 0) -> float:
    """L of ``bent_regression`` in ‖∇f‖² ≤ 2 L (f - inf f)."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    return float(torch.linalg.eigvalsh(a.mT @ a / rows)[-1])
