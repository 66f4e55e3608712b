"""Preconditioning one side of a matrix."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ..._transform import Chain, chain
from ...optimizers import ASGO
from ...transforms import descend, scale_by_asgo
from ..claim import at_most, claim, equal
from ..methods import of_chain
from .identities import farthest, noise, walk
from .matrices import polar
from .shampoos import hidden
from .wrong import instead, scaled, told

ONE_SIDED = "ASGO: Adaptive Structured Gradient Optimization"


def _with_sums(lr: float, eps: float = 1e-10) -> Chain:
    return chain(scale_by_asgo(chain(), 1.0, eps), descend(lr))


@claim(
    "ASGO",
    ONE_SIDED,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=scaled("SGD", 30.0),
    subject=of_chain(_with_sums),
    seeds=3,
)
def one_sided_regret_is_bounded(method: Any, seed: int) -> float:
    """On convex losses the regret is at most (D²/2η + η) tr (Σ GGᵀ + εI)^½, D the largest spectral norm of W_t - W*.

    Losses ½ ‖(W - W_t*)x_t‖² seen through one row: ½ (uᵀWv - y)² of random u, v, y; 4 × 5 matrices, η = 0.5, against
    the best matrix in hindsight; 200 steps.
    """
    m, n, steps, rate, eps = 4, 5, 200, 0.5, 1e-10
    random = torch.Generator().manual_seed(seed)
    u, v = (torch.randn(steps, k, generator=random, dtype=torch.float64) for k in (m, n))
    y = torch.randn(steps, generator=random, dtype=torch.float64)
    flat = torch.einsum("ti,tj->tij", u, v).reshape(steps, m * n)
    best = torch.linalg.lstsq(flat, y.unsqueeze(1)).solution.view(m, n)
    gradients: list[Tensor] = []

    def slope(t: int, w: Tensor) -> Tensor:
        gradients.append((u[t] @ w @ v[t] - y[t]) * torch.outer(u[t], v[t]))
        return gradients[-1]

    points = walk(method, torch.zeros(m, n, dtype=torch.float64), slope, steps, lr=rate)
    far = max(float(torch.linalg.matrix_norm((w - best).nan_to_num(1e9, 1e9, -1e9), 2)) for w in points)
    if not far < 1e6:
        return float("inf")
    regret = sum(
        0.5 * float((u[t] @ points[t] @ v[t] - y[t]).square() - (u[t] @ best @ v[t] - y[t]).square())
        for t in range(steps)
    )
    summed = eps * torch.eye(m, dtype=torch.float64) + sum(g @ g.mT for g in gradients)
    return regret / (
        (far**2 / (2 * rate) + rate) * float(torch.linalg.eigvalsh(summed).clamp(min=0).sqrt().sum())
    )


@claim(
    "ASGO",
    ONE_SIDED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("ASGO", beta2=0.8),
    seeds=3,
)
def one_sided_without_averages_is_muons_step(method: Any, seed: int) -> float:
    """Without momentum and averages ASGO takes Muon's exact step: the orthogonal factor UVᵀ of the gradient, here of
    root mean square 0.2.

    The largest difference over 3 steps of 6 × 10 Gaussian gradients.
    """
    draw = noise(seed, 6, 10)
    hyper = dict(lr=1.0, momentum=0.0, beta2=0.0, weight_decay=0.0, eps=1e-14)
    points = walk(hidden(method), torch.zeros(6, 10, dtype=torch.float64), draw, 3, **hyper)
    worst = 0.0
    for t in range(3):
        exact = polar(draw(t, points[t]))
        step = exact * (0.2 / exact.square().mean().sqrt())
        worst = max(worst, float((points[t] - points[t + 1] - step).abs().max()))
    return worst


@claim(
    "DASGO",
    ONE_SIDED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("Adam", betas=(0.0, 0.95)),
    seeds=3,
)
def diagonal_and_full_asgo_agree_where_columns_are_orthogonal(method: Any, seed: int) -> float:
    """DASGO keeps the diagonal of ASGO's statistic: where all gradients have orthogonal columns both take one step.

    The largest difference of 20 steps; 10 × 6 gradients with orthogonal columns of random lengths, ε = 1e-12.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        random = torch.Generator().manual_seed(1000 * seed + t)
        columns = torch.linalg.qr(torch.randn(10, 6, generator=random, dtype=torch.float64))[0]
        return columns * torch.rand(6, generator=random, dtype=torch.float64)

    hyper = dict(lr=0.1, momentum=0.5, beta2=0.95, weight_decay=0.0, eps=1e-12)
    start = torch.zeros(10, 6, dtype=torch.float64)
    return farthest(
        walk(hidden(method), start, draw, 20, **hyper), walk(hidden(ASGO), start, draw, 20, **hyper)
    )


@claim(
    "DASGO",
    ONE_SIDED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("DASGO", beta2=0.95),
    seeds=2,
)
def diagonal_asgo_without_averages_moves_all_columns_alike(method: Any, seed: int) -> float:
    """Without momentum and averages every column of a step has one length, whatever the gradient's columns have.

    The largest relative difference of the lengths of columns over 5 steps of 8 × 6 gradients, columns of random sizes.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 8, 6)(t, w) * 10.0 ** noise(seed + 1, 1, 6)(t, w)

    hyper = dict(lr=1.0, momentum=0.0, beta2=0.0, weight_decay=0.0, eps=1e-20)
    points = walk(hidden(method), torch.zeros(8, 6, dtype=torch.float64), draw, 5, **hyper)
    worst = 0.0
    for a, b in itertools.pairwise(points):
        lengths = (b - a).norm(dim=0)
        worst = max(worst, float(lengths.max() / lengths.min()) - 1)
    return worst
