"""Polyak's step on batches that can all be fitted."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, claim
from ..problem import descend
from ..problems import least_squares, quadratic
from ..tuning import tuned
from .parameter_free import trained
from .wrong import scaled, told

LOIZOU = "Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate for Fast Convergence"


@claim(
    "PolyakSGD", LOIZOU, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=scaled("PolyakSGD", 3.0),
    seeds=3,
)  # fmt: skip
def polyaks_step_never_leads_away_from_a_common_solution(method: Any, seed: int) -> float:
    """Where all batches have a solution in common, a step of SPS with c ≥ ½ never moves away from it, whichever batch
    is drawn.

    The largest ratio of ‖x - x*‖ after and before one of 100 steps on single rows of least squares, c = ½.
    """
    p = least_squares(seed=seed)
    assert p.minimizer is not None
    points = descend(p, method, 100, seed, batch=1, lr=1.0, c=0.5).points
    gaps = [float((x - p.minimizer).norm()) for x in points]
    return max(after / before for before, after in itertools.pairwise(gaps) if before > 1e-9)


@claim(
    "PolyakSGD", LOIZOU, kind="theorem", predicts=at_least(1.0), tolerance=1e-9, wrong=scaled("PolyakSGD", 0.3),
    seeds=3,
)  # fmt: skip
def polyaks_step_is_at_least_what_smoothness_allows(method: Any, seed: int) -> float:
    """On an L-smooth function SPS takes steps of at least 1/2cL, untold.

    The least γ · 2cL of 50 steps on a quadratic with c = 0.7.
    """
    p = quadratic((3.0, 1.0, 0.2, 0.05), seed)
    points = descend(p, method, 50, lr=1.0, c=0.7).points
    return min(
        float((b - a).norm() / p.gradient(a).norm()) * 2 * 0.7 * 3.0 for a, b in itertools.pairwise(points)
    )


@claim(
    "PolyakSGD",
    LOIZOU,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.0,
    wrong=scaled("PolyakSGD", 1e-2),
    seeds=8,
    cost="full",
    scale="least squares without noise, 40 rows and 10 columns, single rows, 200 steps",
)
def polyaks_step_beats_the_best_constant_rate_where_all_is_fitted(method: Any, seed: int) -> float:
    """Under interpolation SGD with SPS, c = ½, converges linearly to the solution, at least as fast as SGD with the
    best constant rate.

    The decimal logarithm of its last loss over that of SGD at its best rate, both on the same rows.
    """
    p, sgd = least_squares(seed=seed), get("SGD", "optimizer").target
    best = tuned(lambda lr: descend(p, sgd, 200, seed, batch=1, lr=lr).losses[-1], [0.03, 0.06, 0.12]).score
    mine = descend(p, method, 200, seed, batch=1, lr=1.0, c=0.5).losses[-1]
    return math.log10(max(mine, 1e-30) / max(best, 1e-30))


@claim(
    "SPS", LOIZOU, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=told("SPS", gamma=1e6), seeds=3
)  # fmt: skip
def smoothing_bounds_the_growth_of_the_step(method: Any, seed: int) -> float:
    """With smoothing the step grows by at most τ^(1/b) from one to the next.

    The largest γ_t / (τ^(1/b) γ_{t-1}), over 100 steps on single rows of least squares, τ = 2, b = 40.
    """
    p = least_squares(noise=0.5, seed=seed)
    x = torch.nn.Parameter(p.start.clone())
    opt = method([x], **{"lr": 1.0, "n_batches_per_epoch": 40, "init_step_size": 1e-3, "gamma": 2.0})
    random, steps, sizes = torch.Generator().manual_seed(seed), [1e-3], [0.0]

    def closure() -> Tensor:
        opt.zero_grad()
        assert p.draw is not None
        loss = p.draw(x, random)
        loss.backward()
        assert x.grad is not None
        sizes.append(float(x.grad.norm()))
        return loss.detach()

    for _ in range(100):
        before = x.detach().clone()
        opt.step(closure)
        steps.append(float((x.detach() - before).norm()) / sizes[-1])
    return max(b / a for a, b in itertools.pairwise(steps) if a > 1e-12) / 2 ** (1 / 40)


@claim(
    "SPS",
    LOIZOU,
    kind="empirical",
    predicts=at_most(0.3),
    tolerance=0.0,
    wrong=scaled("SPS", 1e-3),
    seeds=6,
    scale="a tanh network of 16 hidden neurons on 128 examples, 400 full-batch steps, b = 40",
    cost="full",
)
def sps_trains_a_network_as_well_as_tuned_sgd(method: Any, seed: int) -> float:
    """On over-parameterized networks SPS does as well as tuned methods, with nothing to tune.

    The decimal logarithm of its last loss over that of SGD at its best rate; a factor of two is taken for as well.
    """
    sgd = get("SGD", "optimizer").target
    best = tuned(lambda lr: trained(sgd, seed, 400, lr=lr), [0.03, 0.1, 0.3]).score
    return math.log10(trained(method, seed, 400, lr=1.0, n_batches_per_epoch=40) / best)
