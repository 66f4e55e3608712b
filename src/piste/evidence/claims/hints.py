"""Optimism: regret where the next gradient resembles the last, and games."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms.decay import descend
from ...transforms.hints import hint_by_last_gradient
from ...transforms.mirror import exponentiate
from ..claim import at_least, at_most, claim
from ..methods import of_chain
from .regions import balled
from .rows import wander
from .stochastic import draws
from .wrong import told

SEA = "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex Optimization"
PREDICTABLE = "Online Learning with Predictable Sequences"


def without_a_hint(params: Any, lr: float, radius: float, offset: float = 1.0) -> Any:
    """Projected descent with steps of the same length throughout."""
    return balled()(params, lr=lr / math.sqrt(offset), radius=radius)


def regret(path: Tensor, slopes: Tensor, radius: float) -> float:
    """On linear losses, against the best point of the ball."""
    return float((path * slopes).sum()) + radius * float(slopes.sum(0).norm())


def linear(method: Any, slopes: Tensor, **hyper: float) -> float:
    """Regret on given gradients, from the center of the unit ball."""
    given = iter(slopes)
    points = wander(
        method, lambda x: next(given), torch.zeros_like(slopes[0]), len(slopes), radius=1.0, **hyper
    )
    return regret(torch.stack(list(points)[:-1]), slopes, 1.0)


def _streams(seed: int, steps: int) -> list[Tensor]:
    """Gradients of at most 1: turning slowly, of random signs, and of one direction whose sign turns at every step."""
    normal = draws(seed)
    angle = 0.02 * torch.arange(steps, dtype=torch.float64) + float(normal(1))
    turning = torch.stack([angle.cos(), angle.sin()], 1)
    random = normal(steps, 2).sign() / math.sqrt(2)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(steps // 2).unsqueeze(1)
    return [turning, random, signs * torch.nn.functional.normalize(normal(1, 2))]


@claim(
    "OptimisticMirrorDescent", SEA, kind="theorem", predicts=at_most(1.0), tolerance=1e-9,
    wrong=told("OptimisticMirrorDescent", lr=100.0), seeds=3,
)  # fmt: skip
def regret_grows_with_the_variation_of_gradients(method: Any, seed: int) -> float:
    """With η_t = D/√(4G² + V_t), V_t the sum of ‖g_s - g_{s-1}‖² before t, the regret over a ball of diameter D is at
    most 1½ D √(4G² + V), on any gradients of at most G.

    The largest ratio of both on three streams of 150 linear losses: gradients that turn slowly, of random signs, and of
    alternating sign; G = 1, D = 2. The constant is what the usual proof gives.
    """
    worst = 0.0
    for slopes in _streams(seed, 150):
        change = slopes - torch.cat([torch.zeros_like(slopes[:1]), slopes[:-1]])
        bound = 3 * math.sqrt(4 + float(change.square().sum()))
        worst = max(worst, linear(method, slopes, lr=2.0, offset=4.0) / bound)
    return worst


def play(method: Any, seed: int, lr: float, steps: int) -> float:
    """The sum of two players' regrets in min max xᵀAy over two disks, both off the center at first."""
    normal = draws(seed)
    a = torch.linalg.qr(normal(2, 2))[0]
    x, y = (torch.nn.Parameter(0.7 * torch.nn.functional.normalize(normal(2), dim=0)) for _ in range(2))
    sides, path = [method([p], lr=lr, radius=1.0) for p in (x, y)], []
    for _ in range(steps):
        path.append(torch.stack([x.detach().clone(), y.detach().clone()]))
        x.grad, y.grad = a @ path[-1][1], -(path[-1][0] @ a)
        for side in sides:
            side.step()
    mean = torch.stack(path).sum(0)
    return float((mean[0] @ a).norm() + (a @ mean[1]).norm())


@claim(
    "OptimisticMirrorDescent", SEA, kind="empirical", predicts=at_most(1.0), tolerance=0.2,
    wrong=without_a_hint, in_mean=False, seeds=4,
    scale="bilinear games xᵀQy, Q orthogonal, over two disks, 80 and 320 rounds",
)  # fmt: skip
def regret_stops_growing_where_the_others_move_slowly(method: Any, seed: int) -> float:
    """The regret of optimistic mirror descent is of the order of √σ² + √Σ²: where the losses are another player's, who
    moves ever more slowly, variance and variation are bounded however long gradients are, and so is the regret.

    The sum of both players' regrets after 320 rounds over that after 80, which is 2 where it grows as the root of
    steps.
    """
    return play(method, seed, 0.5, 320) / play(method, seed, 0.5, 80)


@claim(
    "OptimisticMirrorDescent", SEA, kind="empirical", predicts=at_most(0.5), tolerance=0.15,
    wrong=told("OptimisticMirrorDescent", lr=60.0), seeds=4,
    scale="quadratics with noise of deviation 0.4 and 0.1 over the unit disk, 300 steps",
)  # fmt: skip
def regret_shrinks_with_the_noise(method: Any, seed: int) -> float:
    """On smooth losses drawn anew from one distribution the regret is of the order of √σ², the cumulative variance: a
    quarter of the noise is a quarter of the regret, at most, as a constant is left.

    The expected regret at noise of deviation 0.1 over that at 0.4, with one set of hyperparameters.
    """

    def seen(noise: float) -> float:
        normal = draws(seed)
        best = 0.5 * torch.nn.functional.normalize(normal(2), dim=0)
        path = wander(
            method, lambda x: x - best + noise * normal(2), torch.zeros_like(best), 300, lr=2.0, radius=1.0, offset=4.0
        )  # fmt: skip
        return float(0.5 * (torch.stack(list(path)[:-1]) - best).square().sum())

    return seen(0.1) / seen(0.4)


def _hedge(times: float = 1.0) -> Any:
    return of_chain(lambda lr: chain(hint_by_last_gradient(), descend(times * lr), exponentiate()))


plain_hedge = of_chain(lambda lr: chain(descend(lr), exponentiate()))


def _game(method: Any, seed: int, steps: int, lr: float) -> tuple[Tensor, Tensor, Tensor]:
    """A zero-sum game of 5 × 5 payoffs in [-1, 1], and the mixed strategies of both players over time."""
    random = torch.Generator().manual_seed(seed)
    a = 2 * torch.rand(5, 5, generator=random, dtype=torch.float64) - 1
    x, y = (torch.nn.Parameter(torch.full((5,), 0.2, dtype=torch.float64)) for _ in range(2))
    sides, path = [method([p], lr=lr) for p in (x, y)], []
    for _ in range(steps):
        path.append(torch.stack([x.detach().clone(), y.detach().clone()]))
        x.grad, y.grad = a @ path[-1][1], -(path[-1][0] @ a)
        for side in sides:
            side.step()
    xs, ys = torch.stack(path).unbind(1)
    return a, xs, ys


def gap(a: Tensor, x: Tensor, y: Tensor) -> float:
    return float((x @ a).amax() - (a @ y).amin())


@claim(
    "hint_by_last_gradient", PREDICTABLE, kind="theorem", predicts=at_most(1.0), tolerance=1e-9,
    wrong=_hedge(0.01), subject=_hedge(), seeds=3,
)  # fmt: skip
def optimistic_hedge_solves_games_at_the_rate_of_one_over_steps(method: Any, seed: int) -> float:
    """Two players who use optimistic hedge with a constant η ≤ ¼ have a duality gap at their average strategies of at
    most (log n + log m)/ηT in a zero-sum game of payoffs in [-1, 1].

    The largest ratio of both, 5 × 5 random games, η = ¼, T = 50 and 200. The constant is what the usual proof gives,
    for a start whose first step is taken twice: one more 4η/T.
    """
    worst = 0.0
    a, xs, ys = _game(method, seed, 200, 0.25)
    for steps in (50, 200):
        bound = (2 * math.log(5) / 0.25 + 1.0) / steps
        worst = max(worst, gap(a, xs[:steps].mean(0), ys[:steps].mean(0)) / bound)
    return worst


@claim(
    "hint_by_last_gradient", PREDICTABLE, kind="empirical", predicts=at_least(2.0), tolerance=0.0,
    wrong=plain_hedge, subject=_hedge(), in_mean=False, seeds=3, scale="random 5 × 5 games, 400 steps of η = ½",
)  # fmt: skip
def optimism_makes_players_settle(method: Any, seed: int) -> float:
    """With a hint the players' last strategies approach an equilibrium; without one they circle around it.

    How many times larger the duality gap of the last strategies of plain hedge is.
    """
    a, xs, ys = _game(method, seed, 400, 0.5)
    _, us, vs = _game(plain_hedge, seed, 400, 0.5)
    return gap(a, us[-1], vs[-1]) / max(gap(a, xs[-1], ys[-1]), 1e-12)
