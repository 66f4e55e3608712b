"""Ways to the polar factor: how far how many products come."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...linalg.polar import KELLER, POLAR_EXPRESS, Quintics, newton_schulz, newton_schulz_flops, svd_polar
from ..claim import at_least, at_most, claim
from .matrices import matrix

EXPRESS = "The Polar Express: Optimal Matrix Sign Methods and Their Application to the Muon Algorithm"
TURBO = "Turbo-Muon: Accelerating Orthogonality-Based Optimization with Pre-Conditioning"
GAUSSIAN = "64 × 64 Gaussian matrices"
Way = Callable[[Tensor, int], Tensor]


def express(g: Tensor, steps: int) -> Tensor:
    return newton_schulz(g, steps, POLAR_EXPRESS)


def keller(g: Tensor, steps: int) -> Tensor:
    return newton_schulz(g, steps, KELLER)


def turbo(g: Tensor, steps: int) -> Tensor:
    """Muon's iteration after almost-orthogonal scaling: every column divided by the root of the absolute row sum of
    GᵀG, which brings the largest singular value to at most 1 and most of them near it."""
    return _quintics(g / (g.mT @ g).abs().sum(-1).sqrt().unsqueeze(-2), KELLER * steps)


def _quintics(x: Tensor, coefficients: Quintics) -> Tensor:
    for a, b, c in coefficients:
        gram = x.mT @ x
        x = a * x + x @ (b * gram + c * gram @ gram)
    return x


def _off(x: Tensor) -> float:
    """‖XᵀX - I‖ over √n."""
    n = x.shape[-1]
    return float((x.mT @ x - torch.eye(n, dtype=x.dtype)).norm() / n**0.5)


@claim(
    "Polar Express",
    EXPRESS,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=keller,
    subject=express,
    seeds=4,
    scale=GAUSSIAN + ", 6 steps",
)
def polar_express_is_nearer_than_muons_quintic(method: Way, seed: int) -> float:
    """Polynomials that are each the best for what the steps before them leave come nearer to the polar factor than
    Muon's one, which never settles, with as many products.

    The Frobenius error of 20 matrices after 6 steps over that of Muon's quintic.
    """
    g = torch.stack([matrix(20 * seed + i, 64, 64) for i in range(20)])
    exact = svd_polar(g)
    return float((method(g, 6) - exact).norm() / (keller(g, 6) - exact).norm())


@claim(
    "Polar Express",
    EXPRESS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=keller,
    subject=express,
    seeds=2,
)
def polar_express_converges_cubically_on_its_interval(method: Way, seed: int) -> float:
    """Composed of polynomials of degree 5 that are each best, T steps leave |1 - σ| ≤ (1 - ℓ²)^(3^T) for every singular
    value of at least ℓ.

    The largest ratio of both over T = 5 … 8, for singular values spread over [ℓ, 1], ℓ = 0.02. (The library's damping
    by 1.01 in all steps but the last is an error of up to 1e-2 for T < 8, which is allowed for.)
    """
    q = torch.linalg.qr(matrix(seed, 50, 50))[0]
    spread = torch.logspace(-1.69, 0, 50, dtype=torch.float64)
    g = q * spread / spread.norm()
    low, worst = float(spread.min()), 0.0
    for t in range(5, 9):
        off = (torch.linalg.svdvals(method(g, t)) - 1).abs().max()
        worst = max(worst, float(off) / ((1 - low**2) ** (3**t) + (0.011 if t < 8 else 1e-9)))
    return worst


@claim(
    "Turbo-Muon",
    TURBO,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.05,
    wrong=keller,
    subject=turbo,
    seeds=8,
    scale="256 × 256 Gaussian matrices, Muon's quintic",
)
def preconditioning_saves_an_iteration(method: Way, seed: int) -> float:
    """Almost-orthogonal scaling before Newton-Schulz saves one iteration of five.

    ‖XᵀX - I‖ after four steps over that of five steps of Muon's; four without the scaling leave some 8 percent more.
    """
    g = matrix(seed, 256, 256)
    return _off(method(g, 4)) / _off(keller(g, 5))


def four_of_five(size: int) -> float:
    """Flops of five steps over those of four."""
    return newton_schulz_flops(size, size, 5, dtype=torch.float64) / newton_schulz_flops(
        size, size, 4, dtype=torch.float64
    )


@claim(
    "Turbo-Muon",
    TURBO,
    kind="empirical",
    predicts=at_least(2.8),
    tolerance=0.0,
    wrong=lambda size: 1.0,
    subject=four_of_five,
    seeds=3,
    scale="square matrices of 256 to 1,024, counted in flops; the paper times kernels on a GPU",
)
def preconditioning_makes_orthogonalization_cheap(method: Callable[[int], float], seed: int) -> float:
    """Preconditioned Newton-Schulz is up to 2.8 times as fast at the same quality.

    The flops of products of five iterations over those of four; the scaling is taken to be free.
    """
    return method((256, 512, 1024)[seed % 3])
