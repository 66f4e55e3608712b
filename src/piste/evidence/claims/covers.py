"""SM3: sums of squares under covers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, claim, equal
from .identities import noise, walk
from .lean import against, flat, kept
from .signs import uphill
from .wrong import instead, scaled, told

SM3 = "Memory-Efficient Adaptive Optimization"


def _activity(seed: int) -> Any:
    """Gradients of 9 × 6 with rows and columns that are active at times and to degrees of their own."""
    draw = noise(seed, 9, 6)
    scale = torch.outer(torch.logspace(0, -2, 9), torch.logspace(0, -1, 6)).double()
    return lambda t: scale * draw(t, scale) * (draw(t + 500, scale)[:, :1] > 0)


def _covers(method: Any, seed: int) -> list[tuple[Tensor, Tensor]]:
    """After each of 40 steps: what the square of the gradient over the step is, and AdaGrad's sum of squares, where the
    gradient is not 0."""
    slope, total, found = _activity(seed), torch.zeros(9, 6, dtype=torch.float64), []
    hyper = {"momentum": 0.0} if method.__name__.startswith("SM3") else {}
    for t, u in enumerate(flat(method, slope, 40, **hyper)):
        g = slope(t)
        total = total + g.square()
        at = g != 0
        found.append(((g / torch.where(at, u, 1.0)).square()[at], total[at]))
    return found


@claim("SM3", SM3, kind="theorem", predicts=at_least(1.0), tolerance=1e-9, wrong=instead("RMSProp"), seeds=4)
def covers_are_never_below_adagrads_sums(method: Any, seed: int) -> float:
    """At every step and for every entry what SM3 divides by is at least AdaGrad's sum of squares.

    The least ratio of the two over 40 steps, 9 × 6 with rows that are active at times.
    """
    return min(float((nu / total).min()) for nu, total in _covers(method, seed))


@claim("SM3", SM3, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("SM3", 0.5), seeds=4)
def the_second_form_covers_more_tightly(method: Any, seed: int) -> float:
    """At every step and for every entry SM3-II's bound on AdaGrad's sums is at most SM3-I's.

    The largest ratio of the two over 40 steps, 9 × 6 with rows that are active at times.
    """
    first = _covers(get("SM3I", "optimizer").target, seed)
    pairs = zip(_covers(method, seed), first, strict=True)
    return max(float((tight / loose).max()) for (tight, _), (loose, _) in pairs)


@claim("SM3", SM3, kind="theorem", predicts=equal(1.0), tolerance=0.0, wrong=instead("Adagrad"), seeds=1)
def covers_take_a_number_for_each_row_and_column(method: Any, seed: int) -> float:
    """For an m × n matrix the memory falls from mn to m + n.

    The numbers kept over m + n without a momentum, the case farthest from 1 of 64 × 64, 48 × 200 and 300 × 20.
    """
    hyper = {"momentum": 0.0} if method.__name__ == "SM3" else {}
    seen = [kept(method, m, n, **hyper) / 4 / (m + n) for m, n in ((64, 64), (48, 200), (300, 20))]
    return max(seen, key=lambda x: abs(x - 1))


@claim("SM3", SM3, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=uphill, seeds=3)
def sm3s_regret_is_adagrads_under_the_cover(method: Any, seed: int) -> float:
    """With η = D SM3's regret on convex losses is at most 2D Σᵢ √(min over the sets with i of Σ_t max over the set of
    g_t²), where no coordinate is ever farther than D from the comparator's.

    Regret over the bound: losses ½ (⟨A_t, W⟩ - y)² of random A_t, y against the best 5 × 4 matrix in hindsight, 100
    steps, D the distance seen in a run of η = 1, η = 1.
    """
    steps, random = 100, torch.Generator().manual_seed(seed)
    a = torch.randn(steps, 5, 4, generator=random, dtype=torch.float64)
    y = torch.randn(steps, generator=random, dtype=torch.float64)
    best = torch.linalg.lstsq(a.flatten(1), y.unsqueeze(1)).solution.view(5, 4)

    def slope(t: int, w: Tensor) -> Tensor:
        return ((a[t] * w).sum() - y[t]) * a[t]

    hyper = {"momentum": 0.0} if method.__name__ == "SM3" else {}
    points = walk(method, torch.zeros(5, 4, dtype=torch.float64), slope, steps, lr=1.0, **hyper)
    far = max(1.0, *(float((w - best).abs().max()) for w in points))
    if not far < 1e6:
        return math.inf
    losses = [0.5 * ((a * w).sum((1, 2)) - y).square() for w in (best, *points)]
    regret = sum(float(losses[t + 1][t] - losses[0][t]) for t in range(steps))
    squares = torch.stack([slope(t, points[t]).square() for t in range(steps)])
    rows, columns = squares.amax(2).sum(0), squares.amax(1).sum(0)
    cover = torch.minimum(rows.unsqueeze(1).expand(5, 4), columns.expand(5, 4))
    # with η = 1 and distances up to D the same proof has D² / 2 + 1 for 2D
    return regret / ((far**2 / 2 + 1) * float(cover.sqrt().sum()))


@claim("SM3", SM3, kind="theorem", predicts=at_most(0.0), tolerance=1e-9, wrong=instead("RMSProp"), seeds=3)
def sm3s_rates_never_rise(method: Any, seed: int) -> float:
    """What SM3 divides by never falls, so that rates decay by themselves.

    The largest relative fall of the bound of an entry from one step to the next, over 40 steps with all entries active.
    """
    draw = noise(seed, 9, 6)
    hyper = {"momentum": 0.0} if method.__name__ == "SM3" else {}
    steps = flat(method, lambda t: draw(t, torch.zeros(())), 40, **hyper)
    nu = [(draw(t, u) / u).square() for t, u in enumerate(steps)]
    return max(float(((a - b) / a).max()) for a, b in itertools.pairwise(nu))


@claim(
    "SM3",
    SM3,
    kind="empirical",
    predicts=at_most(1.1),
    tolerance=0.0,
    wrong=told("SM3", weight_decay=3.0),
    seeds=24,
    cost="full",
    scale="64-32-10 on digits, 100 steps of 100, the rate tuned and falling to 0",
)
def sm3_learns_what_adagrad_learns(method: Any, seed: int) -> float:
    """SM3 performs as AdaGrad and Adam do, with a fraction of the memory.

    The loss on new digits over Adagrad's, both tuned.
    """
    return against(method, "Adagrad", seed, (0.06, 0.2, 0.6), (0.07, 0.2, 0.6))
