"""Methods that see matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, between, claim, equal
from .papers import MUON, OLD_NEW
from .wrong import instead, told


def step_of(method: Any, gradient: Tensor, **hyper: Any) -> Tensor:
    """What the first step of rate 1 subtracts from a matrix of zeros."""
    w = torch.nn.Parameter(torch.zeros_like(gradient))
    opt = method([w], lr=1.0, **hyper)
    w.grad = gradient
    opt.step()
    return -w.detach()


def matrix(seed: int, m: int = 24, n: int = 40) -> Tensor:
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def polar(g: Tensor) -> Tensor:
    u, _, v = torch.linalg.svd(g, full_matrices=False)
    return u @ v


@claim(
    "Shampoo", OLD_NEW, kind="identity", predicts=equal(0.0), tolerance=1e-6, wrong=instead("SGD"), seeds=3
)
def shampoo_without_averages_is_the_polar_factor(method: Any, seed: int) -> float:
    """Shampoo that sees one gradient only takes the step U Vᵀ, the nearest orthogonal matrix.

    The largest difference, ε = 1e-14, 24 × 24.
    """
    g = matrix(seed, 24, 24) + 5 * torch.eye(24, dtype=torch.float64)
    return float((step_of(method, g, eps=1e-14) - polar(g)).abs().max())


def _farthest(method: Any, seed: int, m: int, n: int) -> float:
    """The singular value of the first step that is farthest from 1, over the step's scale √(m/n) (at least 1)."""
    values = torch.linalg.svdvals(step_of(_hidden(method), matrix(seed, m, n))) / max(1.0, m / n) ** 0.5
    return max(values.tolist(), key=lambda s: abs(s - 1))


@claim(
    "Muon",
    MUON,
    kind="empirical",
    predicts=between(0.65, 1.25),
    tolerance=0.0,
    wrong=told("Muon", ns_steps=1),
    seeds=5,
    scale="24 × 40 Gaussian matrices",
)
def muons_step_has_singular_values_in_a_band(method: Any, seed: int) -> float:
    """Five steps of Newton-Schulz leave singular values between about 0.7 and 1.2.

    The one farthest from 1, where no singular value of the gradient is small.
    """
    return _farthest(method, seed, 24, 40)


@claim(
    "Muon",
    MUON,
    kind="empirical",
    predicts=between(0.65, 1.25),
    tolerance=0.0,
    wrong=told("Muon", ns_steps=1),
    seeds=5,
    scale="64 × 64 Gaussian matrices, whose smallest singular value is about 1 % of the mean",
)
def muons_step_has_singular_values_in_a_band_for_square_gradients(method: Any, seed: int) -> float:
    """Five steps of Newton-Schulz leave singular values between about 0.7 and 1.2.

    The one farthest from 1. Small ones grow by 3.4 a step, so five steps are too few for those below 0.2 % of the norm.
    """
    return _farthest(method, seed, 64, 64)


@claim("Muon", OLD_NEW, kind="theorem", predicts=at_least(0.7), tolerance=0.0, wrong=instead("SGD"), seeds=3)
def muon_is_steepest_descent_in_the_spectral_norm(method: Any, seed: int) -> float:
    """Of all steps of its spectral norm Muon's lowers the linear model the most: ⟨G, U⟩ = ‖G‖_nuclear ‖U‖_spectral.

    The ratio of both sides: 1 for exact orthogonalization, and above 0.7 where singular values lie in Muon's band; the
    gradient itself, steepest in the Euclidean norm, has 0.6.
    """
    g = matrix(seed)
    u = step_of(_hidden(method), g)
    return float((g * u).sum() / (torch.linalg.svdvals(g).sum() * torch.linalg.svdvals(u).max()))


def _hidden(method: Any) -> Any:
    """A method of matrices for one without a name: as a hidden one."""

    def make(params: Any, **hyper: Any) -> Any:
        if method.__name__ == "Muon":
            params = [{"params": [(f"h.{i}.weight", p) for i, p in enumerate(params)], "optimizer": "Muon"}]
        return method(params, **hyper)

    return make
