"""Factors of low rank: distances of covariances."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, claim, equal
from ..problem import descend
from ..problems.low_rank import bures, covariance_network
from ..problems.quadratics import rotation
from .wrong import instead

BURES = (
    "Critical Points and Convergence Analysis of Generative Deep Linear Networks Trained with "
    "Bures-Wasserstein Loss"
)

Distance = Callable[[Tensor, Tensor], Tensor]
SPECTRUM = (4.0, 3.0, 2.0, 1.0, 0.5)


def smoothed(covariance: Tensor, root: Tensor) -> Tensor:
    return bures(covariance, root, 0.1)


def of_factor(w: Tensor, root: Tensor) -> Tensor:
    """The squared Bures-Wasserstein distance of W Wᵀ from a covariance: ‖W‖² + tr Σ - 2 ‖Σ^½ W‖_nuclear."""
    return w.square().sum() + root.square().sum() - 2 * torch.linalg.matrix_norm(root @ w, "nuc")


def of_smoothed_factor(w: Tensor, root: Tensor) -> Tensor:
    return smoothed(w @ w.mT, root)


def _root(seed: int, values: tuple[float, ...] = SPECTRUM) -> tuple[Tensor, Tensor]:
    """(axes, Σ^½) of a random Σ of that spectrum."""
    axes = rotation(len(values), seed)
    return axes, axes * torch.tensor(values, dtype=torch.float64).sqrt() @ axes.mT


@claim(
    "Bures-Wasserstein loss",
    BURES,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=of_smoothed_factor,
    subject=of_factor,
    seeds=3,
)
def critical_covariances_keep_some_eigenvectors(method: Distance, seed: int) -> float:
    """The full-rank critical points among factors of rank k are those whose covariance keeps k of Σ's eigenvectors with
    their eigenvalues; the distance that remains is the sum of the other eigenvalues.

    The largest gradient, and difference from that sum, over all choices of k = 2 of 5 eigenvectors; the factor turned
    at random on its side of the inputs.
    """
    axes, root = _root(seed)
    values, turn, worst = torch.tensor(SPECTRUM, dtype=torch.float64), rotation(2, seed + 1), 0.0
    for kept in combinations(range(len(SPECTRUM)), 2):
        w = ((axes[:, kept] * values[list(kept)].sqrt()) @ turn).requires_grad_()
        loss = method(w, root)
        (slope,) = torch.autograd.grad(loss, w)
        left = values.sum() - values[list(kept)].sum()
        worst = max(worst, float(slope.abs().max()), float((loss.detach() - left).abs()))
    return worst


@claim(
    "Bures-Wasserstein loss",
    BURES,
    kind="theorem",
    predicts=equal(-1.5),
    tolerance=0.05,
    wrong=smoothed,
    subject=bures,
    seeds=3,
)
def curvature_explodes_near_lower_rank(method: Distance, seed: int) -> float:
    """The Hessian of the distance, as a function of the covariance, grows without bound where the covariance comes near
    a matrix of lower rank; with C + τI in the place of C it does not.

    The exponent e with which its largest eigenvalue grows like εᵉ, ε the least eigenvalue of the covariance (the others
    1), between ε = 1e-4 and 1e-5. For numbers the distance is c + σ² - 2σ√c, which has e = -3/2.
    """
    root, axes = _root(seed, SPECTRUM[:4])[1], rotation(4, seed + 1)

    def sharpest(least: float) -> float:
        values = torch.tensor([1.0, 1.0, 1.0, least], dtype=torch.float64)
        here = axes * values @ axes.mT
        hessian = torch.autograd.functional.hessian(
            lambda c: method((c.view(4, 4) + c.view(4, 4).mT) / 2, root), here.flatten()
        )
        return float(torch.linalg.eigvalsh(torch.as_tensor(hessian))[-1])

    return math.log(sharpest(1e-5) / sharpest(1e-4)) / math.log(0.1)


@claim(
    "SGD",
    BURES,
    kind="empirical",
    predicts=at_least(0.8),
    tolerance=0.0,
    wrong=instead("SGD", weight_decay=0.1),
    seeds=3,
    scale="a covariance of 5 numbers, 3 layers of rank 3, τ = 0.1, 200 steps of the rate 0.04",
)
def gradient_descent_finds_the_nearest_covariance_of_low_rank(method: Any, seed: int) -> float:
    """From a start whose layers are balanced and far from lower rank, gradient descent on the smoothed loss of a deep
    linear network converges to the nearest covariance of its rank, linearly.

    The logarithm of the factor by which steps 151 to 200 shrink the gap to the known minimum, over that of the 50 steps
    before (at least 1): 1 for linear convergence, and 0.58 for 1/t².
    """
    p = covariance_network(seed=seed)
    trace = descend(p, method, 200, lr=0.04)
    early, middle, late = (trace.losses[t] - (p.minimum or 0.0) for t in (100, 150, 200))
    return math.log(middle / late) / max(1.0, math.log(early / middle))
