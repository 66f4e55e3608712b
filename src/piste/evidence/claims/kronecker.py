"""Shampoo and SOAP: regret, and what they are in the limit."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...linalg.eigen import eigenbasis
from ...linalg.roots import inverse_root
from ..claim import at_most, claim, equal
from .identities import walk
from .matrices import matrix
from .papers import SHAMPOO, SOAP
from .wrong import instead, scaled


@claim(
    "Shampoo",
    SHAMPOO,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 30.0),
    seeds=3,
)
def shampoos_regret_is_bounded(method: Any, seed: int) -> float:
    """On convex losses with gradients of rank r Shampoo's regret is at most (D²/2η + ηr) tr L^¼ tr R^¼, D the largest
    ‖W_t - W*‖, L = εI + Σ GGᵀ, R = εI + Σ GᵀG; with η = D/√2r that is √(2r) D tr L^¼ tr R^¼.

    Losses ½ (uᵀWv - y)² of random u, v, y, so r = 1; 5 × 4 matrices, η = 0.5, ε = 1e-4, against the best matrix in
    hindsight; 200 steps.
    """
    m, n, steps, rate, eps = 5, 4, 200, 0.5, 1e-4
    random = torch.Generator().manual_seed(seed)
    u, v = (torch.randn(steps, k, generator=random, dtype=torch.float64) for k in (m, n))
    y = torch.randn(steps, generator=random, dtype=torch.float64)
    flat = torch.einsum("ti,tj->tij", u, v).reshape(steps, m * n)
    best = torch.linalg.lstsq(flat, y.unsqueeze(1)).solution.view(m, n)
    gradients: list[Tensor] = []

    def slope(t: int, w: Tensor) -> Tensor:
        gradients.append((u[t] @ w @ v[t] - y[t]) * torch.outer(u[t], v[t]))
        return gradients[-1]

    hyper = {"eps": eps} if method.__name__ == "Shampoo" else {}
    points = walk(method, torch.zeros(m, n, dtype=torch.float64), slope, steps, lr=rate, **hyper)
    regret = sum(
        0.5 * float((u[t] @ points[t] @ v[t] - y[t]).square() - (u[t] @ best @ v[t] - y[t]).square())
        for t in range(steps)
    )
    far = max(float((w - best).norm()) for w in points)
    if not far < 1e6:
        return math.inf
    left = eps * torch.eye(m, dtype=torch.float64) + sum(g @ g.mT for g in gradients)
    right = eps * torch.eye(n, dtype=torch.float64) + sum(g.mT @ g for g in gradients)
    traces = [float(torch.linalg.eigvalsh(a).pow(0.25).sum()) for a in (left, right)]
    return regret / ((far**2 / (2 * rate) + rate) * traces[0] * traces[1])


def with_roots(gradients: Tensor) -> Tensor:
    """Steps of Shampoo with the power ½: L^(-½) G R^(-½) √(tr L), from the means L and R over all gradients."""
    left = (gradients @ gradients.mT).mean(0)
    right = (gradients.mT @ gradients).mean(0)
    return inverse_root(left, 2) @ gradients @ inverse_root(right, 2) * left.trace().sqrt()


def with_the_papers_power(gradients: Tensor) -> Tensor:
    """The same with Shampoo's own power, ¼."""
    left = (gradients @ gradients.mT).mean(0)
    right = (gradients.mT @ gradients).mean(0)
    return inverse_root(left, 4) @ gradients @ inverse_root(right, 4) * left.trace().sqrt()


@claim(
    "Shampoo to the power ½",
    SOAP,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=with_the_papers_power,
    subject=with_roots,
    seeds=3,
)
def shampoo_to_the_half_is_adafactor_in_its_eigenbasis(method: Any, seed: int) -> float:
    """With the power ½ (and the trace as scale) Shampoo is Adafactor run in the eigenbases of L and R: G' = Q_LᵀGQ_R
    over the root of the product of the row and column means of E G'².

    The largest relative difference of both steps for 40 Gaussian gradients of 6 × 8 with correlated rows and columns.
    """
    gradients = (
        matrix(seed, 6, 6)
        @ torch.stack([matrix(100 * seed + i, 6, 8) for i in range(40)])
        @ matrix(seed + 7, 8, 8)
    )
    left = eigenbasis((gradients @ gradients.mT).mean(0))
    right = eigenbasis((gradients.mT @ gradients).mean(0))
    turned = left.mT @ gradients @ right
    squares = turned.square().mean(0)
    rows, columns = squares.sum(1, keepdim=True), squares.sum(0, keepdim=True)
    adafactor = left @ (turned / (rows @ columns / squares.sum()).sqrt()) @ right.mT
    return float((method(gradients) - adafactor).abs().max() / adafactor.abs().max())


@claim("SOAP", SOAP, kind="identity", predicts=equal(0.0), tolerance=0.02, wrong=instead("Adam"), seeds=2)
def soap_is_adam_in_the_eigenbasis_in_the_limit(method: Any, seed: int) -> float:
    """On a stream that repeats, with averages over long times, SOAP's step is Q_L [G'/√(E G'²)] Q_Rᵀ, with Q_L, Q_R the
    eigenbases of E GGᵀ, E GᵀG and G' = Q_LᵀGQ_R.

    The relative difference of steps over the last round of 8 gradients of 6 × 6 that come 200 times; β = (0, 0.995),
    bases renewed in every step.
    """
    some = matrix(seed + 50, 6, 6) @ torch.stack([matrix(100 * seed + i, 6, 6) for i in range(8)])
    hyper: dict[str, Any] = {"lr": 1e-3, "betas": (0.0, 0.995), "weight_decay": 0.0, "eps": 1e-12}
    if method.__name__ == "SOAP":
        hyper["precondition_frequency"] = 1
    points = walk(method, torch.zeros(6, 6, dtype=torch.float64), lambda t, w: some[t % 8], 1600, **hyper)
    steps = torch.stack([(b - a) / -1e-3 for a, b in zip(points[-9:-1], points[-8:], strict=True)])
    left, right = eigenbasis((some @ some.mT).mean(0)), eigenbasis((some.mT @ some).mean(0))
    turned = left.mT @ some @ right
    ideal = left @ (turned / turned.square().mean(0).sqrt()) @ right.mT
    return float((steps - ideal).norm() / ideal.norm())
