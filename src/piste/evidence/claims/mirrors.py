"""Mirror descent and dual averaging over a ball or the simplex, and matrix games."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms.decay import descend
from ...transforms.mirror import dual_average, exponentiate
from ..claim import at_most, claim
from ..methods import of_chain
from ..problems.convex import paired_data
from .papers import BUBECK
from .regions import all_rows, apart, balled
from .rows import largest, upto, wander


def _mirrored(times: float = 1.0) -> Callable[..., Any]:
    return of_chain(lambda lr: chain(descend(times * lr), exponentiate()))


def _portfolio(seed: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Paired rows with entries of at most 1, and a minimizer at a corner of the simplex."""
    random = torch.Generator().manual_seed(seed)
    a = 2 * torch.rand(30, size, generator=random, dtype=torch.float64) - 1
    best = torch.eye(size, dtype=torch.float64)[0]
    errors = 0.1 * torch.rand(30, generator=random, dtype=torch.float64) * (torch.arange(30) % 2)
    return torch.cat([a, a]), torch.cat([a @ best + errors, a @ best - errors]), best


@claim(
    "exponentiate", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=_mirrored(1e-3),
    subject=_mirrored(), seeds=3,
)  # fmt: skip
def mirror_descent_on_the_simplex(method: Any, seed: int) -> float:
    """Over the simplex of n coordinates, with subgradients of ‖g‖∞ ≤ G and the rate √(2 log n / t)/G, exponentiated
    steps from its center have f(x̄) - f* ≤ G √(2 log n / t) at the average of t points.

    Mean absolute deviations of 60 rows, n = 64, x* a corner, t = 20, 80 and 320; in the Euclidean geometry G would be
    up to √n times larger.
    """
    a, b, best = _portfolio(seed, 64)
    steep, worst = float(a.abs().mean(0).max()), 0.0
    for t in (20, 80, 320):
        bound = steep * math.sqrt(2 * math.log(64) / t)
        start = torch.full((64,), 1 / 64, dtype=torch.float64)
        path = wander(method, all_rows(a, b), start, t - 1, lr=bound / steep**2)
        mean = torch.stack(list(path)).mean(0)
        worst = max(worst, float(apart(a, b, mean) - apart(a, b, best)) / bound)
    return worst


@claim(
    "dual_average", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9,
    wrong=balled(dual_average(), times=1e-3), subject=balled(dual_average()), seeds=3,
)  # fmt: skip
def lazily_projected_dual_averages(method: Any, seed: int) -> float:
    """Dual averaging, whose points are projections of x_0 - η times the sum of all subgradients, with η = R/2G√t has
    f(x̄) - f* ≤ 2RG/√t over a ball of radius R.

    Mean absolute deviations of 40 rows, x* on the rim of the ball, t = 20, 80 and 320.
    """
    a, b, best = paired_data(40, 6, seed)
    radius, steep, worst = float(best.norm()), float(a.norm(dim=1).mean()), 0.0
    for t in (20, 80, 320):
        rate = radius / (2 * steep * math.sqrt(t))
        path = wander(method, all_rows(a, b), torch.zeros_like(best), t - 1, lr=rate, radius=radius)
        seen = apart(a, b, torch.stack(list(path)).mean(0)) - apart(a, b, best)
        worst = max(worst, float(seen) * math.sqrt(t) / (2 * radius * steep))
    return worst


@claim(
    "exponentiate", BUBECK, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=_mirrored(1e-2),
    subject=_mirrored(), seeds=3,
)  # fmt: skip
def mirror_prox_solves_matrix_games(method: Any, seed: int) -> float:
    """Steps from (x_t, y_t) with the slopes at the points that the same steps would lead to solve min_x max_y xᵀAy over
    two simplices: the averages of the latter have a duality gap of at most 4 max|aᵢⱼ| √(log n log m) / t.

    A random 20 × 30 game, η = 1/(2 max|aᵢⱼ| √(log n log m)), each side's times log of its size; the largest ratio for
    t = 1 … 300; the method makes the steps.
    """
    n, m = 20, 30
    random = torch.Generator().manual_seed(seed)
    a = 2 * torch.rand(n, m, generator=random, dtype=torch.float64) - 1
    scale = float(a.abs().max()) * math.sqrt(math.log(n) * math.log(m))
    x, y = (torch.nn.Parameter(torch.full((k,), 1 / k, dtype=torch.float64)) for k in (n, m))
    sides = [method([p], lr=math.log(len(p)) / (2 * scale)) for p in (x, y)]
    half: list[Tensor] = []

    def step(here: tuple[Tensor, Tensor], slopes_at: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        for p, start, slope in zip((x, y), here, (a @ slopes_at[1], -(slopes_at[0] @ a)), strict=True):
            p.data.copy_(start)
            p.grad = slope
        for side in sides:
            side.step()
        return x.detach().clone(), y.detach().clone()

    at = x.detach().clone(), y.detach().clone()
    for _ in range(300):
        ahead = step(at, at)
        at = step(at, ahead)
        half.append(torch.cat(ahead))
    mean = torch.stack(half).cumsum(0) / upto(300, 1).unsqueeze(1)
    gap = (mean[:, :n] @ a).amax(1) - (mean[:, n:] @ a.mT).amin(1)
    return largest(gap, 4 * scale / upto(300, 1))
