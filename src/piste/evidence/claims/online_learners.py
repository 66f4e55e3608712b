"""Online-to-non-convex conversion: what the steps of an online learner say of a function that is neither smooth nor
convex."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._transform import chain
from ...transforms.decay import descend
from ...transforms.online import learn_in_ball, walk_along
from ..claim import at_most, claim, equal
from ..methods import of_chain
from ..problem import Problem
from .wrong import scaled

CONVERSION = "Optimal Stochastic Non-smooth Non-convex Optimization through Online-to-Non-convex Conversion"


def ridges(seed: int, far: float = 2.0, rows: int = 30, size: int = 6) -> tuple[Problem, float]:
    """F(x) = 1/n Σ ||⟨aᵢ, x⟩| - bᵢ|, with kinks that are minima and kinks that are maxima, and G: no gradient is longer
    than the mean of ‖aᵢ‖."""
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, size, generator=random, dtype=torch.float64)
    b = 2 * torch.rand(rows, generator=random, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return ((a @ x).abs() - b).abs().mean()

    start = far * torch.randn(size, generator=random, dtype=torch.float64)
    return Problem("ridges", loss, start), float(a.norm(dim=1).mean())


def converted(method: Any, p: Problem, steps: int, seed: int, **hyper: float) -> tuple[Tensor, Tensor]:
    """The ends x of the steps, before each and after the last, and the gradients that were taken along them."""
    w = torch.nn.Parameter(p.start.clone())
    opt = method([w], draw_seed=seed, **hyper)
    ends, slopes = [p.start], []
    for _ in range(steps):
        slopes.append(p.gradient(w))
        w.grad = slopes[-1]
        opt.step()
        ends.append(_walked(opt, w))
    return torch.stack(ends), torch.stack(slopes)


def _walked(opt: Any, w: Tensor) -> Tensor:
    return (opt.state[w] if hasattr(opt, "state") else opt._state["0"])["path"].clone()


def where_steps_begin(params: Any, draw_seed: int, **hyper: Any) -> Any:
    """The gradient is always taken at x."""
    return of_chain(lambda lr, gain: chain(learn_in_ball(gain), descend(lr), walk_along(lr, 0.0)))(
        params, **hyper
    )


@claim(
    "O2NC", CONVERSION, kind="theorem", predicts=equal(0.0), tolerance=0.05, wrong=where_steps_begin, in_mean=True,
    seeds=8,
)  # fmt: skip
def gradients_at_random_points_tell_how_far_a_step_goes_down(method: Any, seed: int) -> float:
    """With w_n uniform on the step from x_{n-1} to x_n, E Σ⟨∇F(w_n), x_n - x_{n-1}⟩ = E F(x_N) - F(x_0), whatever F is:
    it need be neither smooth nor convex.

    Their difference over the mean of Σ|⟨∇F, x_n - x_{n-1}⟩|, 8 draws of 40 steps of length 1 on 30
    absolute deviations of |⟨a, x⟩|.
    """
    p, steep = ridges(seed, far=4.0)
    apart, work = 0.0, 0.0
    for draw in range(8):
        ends, slopes = converted(method, p, 40, 100 * seed + draw, lr=1.0, gain=0.3 / steep)
        change = float(p.loss(ends[-2]) - p.loss(ends[0]))
        along = (slopes[1:] * ends.diff(dim=0)[:-1]).sum(1)
        apart += float(along.sum()) - change
        work += float(along.abs().sum())
    return apart / work


def mean_gradients(slopes: Tensor, block: int) -> float:
    """The mean over blocks of the norm of the mean gradient of each."""
    count = len(slopes) // block
    return float(slopes[: count * block].unflatten(0, (count, block)).mean(1).norm(dim=1).mean())


@claim(
    "O2NC", CONVERSION, kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=scaled("O2NC", 1e-4), in_mean=True,
    seeds=3,
)  # fmt: skip
def mean_gradients_over_short_walks_become_small(method: Any, seed: int) -> float:
    """With exact gradients of at most G and steps of at most D chosen by gradient descent with the rate D/G√T, the mean
    gradients over T steps each, all taken within DT of each other, have an expected norm of at most
    (F(x_0) - F(x_N))/DN + 2½ G/√T in the mean: the learner's regret (2½ since it goes on from block to block), with no
    word of smoothness.

    The ratio of both: 30 absolute deviations of |⟨a, x⟩|, T = 250, D = 0.02, N = 1,000.
    """
    p, steep = ridges(seed)
    ends, slopes = converted(method, p, 1001, seed, lr=0.02, gain=1 / (steep * math.sqrt(250)))
    down = float(p.loss(ends[0]) - p.loss(ends[-2])) / (0.02 * 1000)
    return mean_gradients(slopes[1:], 250) / (down + 2.5 * steep / math.sqrt(250))


@claim(
    "O2NC", CONVERSION, kind="empirical", predicts=at_most(0.5), tolerance=0.05, wrong=scaled("O2NC", 1e-3), seeds=4,
    cost="full", scale="30 absolute deviations of |⟨a, x⟩| in 6 dimensions, 500 and 4,000 steps",
)  # fmt: skip
def mean_gradients_fall_as_the_cube_root_of_steps(method: Any, seed: int) -> float:
    """To a (δ, ε)-stationary point O(δ⁻¹ε⁻³) gradients are enough: with T ∝ N^⅔ steps in a walk of radius δ the
    mean gradients fall as N^-⅓.

    Those of 4,000 steps over those of 500, which N^-⅓ makes ½; δ = 1.
    """
    p, steep = ridges(seed)

    def seen(steps: int) -> float:
        block = round((steep * steps / float(p.loss(p.start))) ** (2 / 3))
        _, slopes = converted(method, p, steps + 1, seed, lr=1 / block, gain=1 / (steep * math.sqrt(block)))
        return mean_gradients(slopes[1:], block)

    return seen(4000) / seen(500)
