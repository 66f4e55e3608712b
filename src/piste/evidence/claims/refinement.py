"""The last point of a run: schedules refined by gradient norms, and the average of updates that AdamW ends in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._registry import get
from ...schedules import constant, cosine, d2z, inverse_sqrt, linear, refined, wsd
from ..claim import at_most, claim, equal
from ..problem import descend
from ..problems import least_absolute
from .descent import square
from .horizons import STRAIGHT, Noisy

REFINEMENT = "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement"
Refine = Callable[..., Callable[[int], float]]


def never_refined(norms: Sequence[float], peak: float, steps: int, **how: Any) -> Callable[[int], float]:
    return constant(peak)


def upside_down(norms: Sequence[float], peak: float, steps: int, **how: Any) -> Callable[[int], float]:
    """Larger rates where gradients were larger."""
    return refined([1 / n for n in norms], peak, steps, **how)


def half_a_cosine(norms: Sequence[float], peak: float, steps: int, **how: Any) -> Callable[[int], float]:
    return cosine(peak, steps - 1)


@claim(
    "refined", REFINEMENT, subject=refined, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=half_a_cosine,
    seeds=2,
)  # fmt: skip
def equal_gradients_are_refined_to_a_line(method: Refine, seed: int) -> float:
    """Where the gradient is as long all along, the refined schedule is a line to zero, for SGD and for Adam.

    The largest difference from it, of a peak of 1, over 10 lengths of a run and of the next from 10 to 1000 steps.
    """
    random, worst = np.random.default_rng(seed), 0.0
    for _ in range(10):
        steps, size = int(random.integers(10, 1000)), float(random.uniform(0.1, 10))
        for kind in ("sgd", "adam"):
            made = method([size] * steps, 1.0, steps, kind=kind)
            worst = max(worst, *(abs(made(t) - (1 - t / (steps - 1))) for t in range(steps)))
    return worst


@claim(
    "refined", REFINEMENT, subject=refined, kind="theorem", predicts=at_most(1.0), tolerance=1e-9,
    wrong=never_refined, seeds=5,
)  # fmt: skip
def the_last_point_of_a_refined_run_keeps_its_bound(method: Refine, seed: int) -> float:
    """With the rates w_t Σ_(p>t) w_p / Σ w the last point on a convex function has f(x_T) - inf f ≤ (D² + Σ w_t²‖g_t‖²)
    / (2 Σ w), which w_t ∝ 1/‖g_t‖² makes smallest.

    The gap over the bound, its norms those of the run itself, after 300 steps on 40 least absolute deviations, refined
    from a run with linear decay.
    """
    p, steps = least_absolute(seed=seed), 300
    assert p.lipschitz is not None
    far = math.sqrt(square(p, p.start))
    sgd = get("SGD", "optimizer").target

    def run(schedule: Callable[[int], float]) -> tuple[Tensor, np.ndarray]:
        trace = descend(p, sgd, steps, lr=1.0, schedule=schedule)
        return trace.end, np.array([float(p.gradient(x).norm()) for x in trace.points[:-1]])

    _, norms = run(linear(far / (p.lipschitz * math.sqrt(steps)), 0.0, steps))
    w = far / (norms**2 * math.sqrt((norms**-2).sum()))
    peak = float((w * (w.sum() - w.cumsum())).max() / w.sum())
    end, seen = run(method(norms.tolist(), peak, steps, smoothing=0.0))
    return p.gap(end) / float((far**2 + (w**2 * seen**2).sum()) / (2 * w.sum()))


def bound(rates: np.ndarray, norms: np.ndarray) -> float:
    """Of the last point for D = 1 and any rates, times the factor and with the rate after the end that make it
    smallest."""

    def of(last: float) -> float:
        eta = np.append(rates, last)
        sizes = (eta * norms) ** 2
        tail, tails = eta[::-1].cumsum()[::-1], sizes[::-1].cumsum()[::-1]
        noise = tails[0] / tail[0] + (eta * tails / (tail * (tail - eta + (tail == eta))))[:-1].sum()
        return float(np.sqrt(noise / tail[0]))

    return min(of(last) for last in rates.max() * np.logspace(-4, 0, 80))


@claim(
    "refined", REFINEMENT, subject=refined, kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=upside_down,
    seeds=20,
)  # fmt: skip
def no_common_schedule_has_a_smaller_bound_than_the_refined(method: Refine, seed: int) -> float:
    """For gradients of given norms the refined schedule makes the bound on the last point small, whichever schedule one
    would have chosen.

    Its bound over the smallest of five others (constant, linear, half a cosine, 1/√t, warm-up and cooldown), all with
    their best factor, by the theorem for any rates; 200 norms that fall and rise again by factors up to 5.
    """
    random, steps = np.random.default_rng(seed), 200
    t = np.linspace(0, 1, steps)
    fall, rise = random.uniform(0, math.log(5), 2)
    norms = np.exp(fall * (1 - np.minimum(1, 4 * t)) + rise * np.maximum(0, 4 * t - 3))
    norms *= np.exp(0.1 * random.standard_normal(steps))
    common = (constant(1.0), linear(1.0, 0.0, steps - 1), cosine(1.0, steps - 1), inverse_sqrt(1.0, 1),
              wsd(1.0, steps, 40, warmup=10))  # fmt: skip
    mine, *others = (
        bound(np.array([made(k) for k in range(steps - 1)]), norms)
        for made in (method(norms.tolist(), 1.0, steps, smoothing=0.0), *common)
    )
    return mine / min(others)


RATES = 2.0 ** torch.arange(-5, 5, dtype=torch.float64)


@lru_cache(64)
def regression(seed: int) -> tuple[Tensor, Tensor, float]:
    """Logistic regression of 500 rows of 20 numbers with labels drawn from it: rows times labels, 24
    orders of them, and the least loss."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(500, 20, generator=random, dtype=torch.float64)
    truth = torch.randn(20, generator=random, dtype=torch.float64)
    ones = torch.rand(500, generator=random, dtype=torch.float64) < torch.sigmoid(x @ truth)
    signed, w = torch.where(ones, 1.0, -1.0).unsqueeze(1) * x, torch.zeros(20, dtype=torch.float64)
    for _ in range(20):
        s = torch.sigmoid(-signed @ w)
        w = w + torch.linalg.solve(signed.mT @ ((s * (1 - s)).unsqueeze(1) * signed), signed.mT @ s)
    orders = torch.randint(500, (1000, 24), generator=random)
    return signed, orders, float(torch.nn.functional.softplus(-signed @ w).mean())


def logistic(seed: int, schedule: Callable[[int], float]) -> tuple[Tensor, Tensor]:
    """The gap after 1000 steps of SGD on a row each, and the norms of the gradients: 24 orders of the rows at each of
    RATES, side by side."""
    signed, orders, least = regression(seed)
    x = torch.nn.Parameter(torch.zeros(len(RATES), 24, 20, dtype=torch.float64))
    opt, norms = get("SGD", "optimizer").target([x], lr=1.0), []
    for t, order in enumerate(orders):
        rows = signed[order]
        slope = -torch.sigmoid(-(rows * x.detach()).sum(-1, keepdim=True)) * rows
        norms.append(slope.norm(dim=-1))
        x.grad = RATES.view(-1, 1, 1) * slope
        opt.param_groups[0]["lr"] = schedule(t)
        opt.step()
    gaps = torch.nn.functional.softplus(-(x.detach() @ signed.mT)).mean(-1) - least
    return gaps.mean(1), torch.stack(norms)


@claim(
    "refined", REFINEMENT, subject=refined, kind="empirical", predicts=at_most(1.0), tolerance=0.0,
    wrong=never_refined, seeds=10,
    scale="logistic regression of 500 rows of 20 numbers, 1000 steps of SGD on one row each, 24 runs",
)  # fmt: skip
def refinement_ends_below_the_line_it_came_from(method: Refine, seed: int) -> float:
    """The schedule that is refined from the gradient norms of a run with linear decay ends lower than this.

    The mean gap to the least training loss of 24 runs over that with linear decay, both at the best of ten rates.
    """
    steps = 1000
    line, norms = logistic(seed, linear(1.0, 0.0, steps))
    best = norms[:, line.argmin()].square().mean(1).sqrt()
    return float(logistic(seed, method(best.tolist(), 1.0, steps))[0].min() / line.min())


@claim(
    "AdamW", STRAIGHT, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=get("Adam", "optimizer").target,
    seeds=3,
)  # fmt: skip
def adamw_ends_in_an_average_of_its_updates(method: Any, seed: int) -> float:
    """The weights of AdamW are an average of its updates and the start: with α_t = η_t λ, update t, times -1/λ, has the
    weight α_t Π_(j>t) (1 - α_j), and the start Π (1 - α_j); decay to zero gives the last updates ever less.

    The largest difference after 200 noisy steps with warm-up and a line to zero, the updates seen by AdamW of rate 1
    without decay.
    """
    p, decay, steps = Noisy(seed), 0.5, 200
    x, u = (torch.nn.Parameter(torch.ones(24, 12, dtype=torch.float64)) for _ in range(2))
    opt = method([x], lr=1.0, weight_decay=decay)
    probe = get("AdamW", "optimizer").target([u], lr=1.0, weight_decay=0.0)
    rates, updates = d2z(0.1, steps, 20), []
    for t in range(steps):
        x.grad = u.grad = p.slope(x.detach())
        before = u.detach().clone()
        probe.step()
        updates.append((u.detach() - before) / decay)
        opt.param_groups[0]["lr"] = rates(t)
        opt.step()
    alpha = torch.tensor([decay * rates(t) for t in range(steps)], dtype=torch.float64)
    later = (1 - alpha).flip(0).cumprod(0).flip(0)
    weights = alpha * torch.cat([later[1:], later.new_ones(1)])
    average = later[0] * torch.ones(24, 12, dtype=torch.float64) + torch.tensordot(
        weights, torch.stack(updates), 1
    )
    return float((x.detach() - average).abs().max())
