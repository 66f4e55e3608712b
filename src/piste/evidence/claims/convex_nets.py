"""Small ReLU networks beside the convex program that has their optimum."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..convex_relu import (
    Solution,
    admm,
    certificate,
    network,
    objective,
    patterns,
    program,
    sampled,
    shrunk,
    task,
)

EFFICIENT = (
    "Efficient Global Optimization of Two-layer ReLU Networks: "
    "Quadratic-time Algorithms and Adversarial Training"
)
ROWS, BETA, RHO = 6, 0.1, 0.03
Solver = Callable[..., Solution]


def on_few_patterns(x: Tensor, y: Tensor, active: Tensor, beta: float, rho: float, **more: float) -> Solution:
    """Wrong: the program of every third pattern."""
    kept = (torch.arange(len(active)) % 3 == 0).to(active.dtype)[:, None]
    return admm(x, y, active * kept, beta, rho)


def without_roots(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Wrong: u = v and α = ±1, which says the same and weighs otherwise."""
    first, second = network(weights)
    return first * second.abs()[:, None], second.sign()


def said(first: Tensor, second: Tensor, x: Tensor) -> Tensor:
    return (first @ x.mT).clamp(min=0).mT @ second


@claim(
    "convex ReLU network", EFFICIENT, kind="identity", predicts=equal(0.0), tolerance=1e-6, subject=network,
    wrong=without_roots, seeds=3,
)  # fmt: skip
def the_convex_program_and_its_network_weigh_alike(
    method: Callable[[Tensor], tuple[Tensor, Tensor]], seed: int
) -> float:
    """With u = v/√‖v‖, α = √‖v‖ (and -√‖w‖) the network has the loss of the convex program's solution.

    Relative difference of the two objectives after ADMM, six points on a line with a bias, β = 0.1.
    """
    x, y = task(ROWS, seed)
    active = patterns(x)[0]
    weights = admm(x, y, active, BETA, RHO).weights
    there = float(program(weights, x, y, active, BETA))
    return abs(float(objective(*method(weights), x, y, BETA)) - there) / there


@claim(
    "convex ReLU network", EFFICIENT, kind="theorem", predicts=at_most(1.0), tolerance=1e-3, subject=admm,
    wrong=on_few_patterns, seeds=4,
)  # fmt: skip
def the_convex_optimum_is_that_of_the_network(method: Solver, seed: int) -> float:
    """The convex program over all patterns has the network's global optimum.

    The loss of the network that ADMM's solution stands for, over a lower bound for networks of any width: the dual at
    its residuals, whose constraint is checked exactly on the circle of directions.
    """
    x, y = task(ROWS, seed)
    first, second = network(method(x, y, patterns(x)[0], BETA, RHO).weights)
    bound = certificate(y - said(first, second, x), x, y, BETA)
    return float(objective(first, second, x, y, BETA)) / bound


def ends(make: Callable[..., torch.optim.Optimizer], lr: float, width: int, count: int, x: Tensor, y: Tensor,
         seed: int, steps: int = 500) -> Tensor:  # fmt: skip
    """The losses that networks end in, trained side by side from random weights with a rate that falls to 0."""
    random = torch.Generator().manual_seed(seed)
    first = torch.randn(count, width, 2, generator=random, dtype=x.dtype, requires_grad=True)
    second = torch.randn(count, width, generator=random, dtype=x.dtype) / math.sqrt(width)
    second.requires_grad_()
    opt = make([first, second], lr=lr)
    for t in range(steps):
        opt.param_groups[0]["lr"] = lr * (1 - t / steps)
        with torch.no_grad():
            before = first @ x.mT
            neurons = before.clamp(min=0)
            off = (neurons * second[..., None]).sum(1) - y
            slope = off[:, None] * (before > 0) * second[..., None]
            first.grad = slope @ x + BETA * first
            second.grad = (neurons @ off[..., None])[..., 0] + BETA * second
        opt.step()
    return objective(first, second, x, y, BETA).detach()


@claim(
    "convex ReLU network", EFFICIENT, kind="theorem", predicts=at_most(1.0), tolerance=1e-3, subject=admm,
    wrong=on_few_patterns, seeds=3,
)  # fmt: skip
def no_descent_ends_below_the_convex_optimum(method: Solver, seed: int) -> float:
    """The optimum of the convex program is global: no training of the network ends below it.

    The loss of ADMM's solution over the least in which 16 runs each of SGD and of Adam on 32 neurons end, 500 steps.
    """
    x, y = task(ROWS, seed)
    solution = method(x, y, patterns(x)[0], BETA, RHO).weights
    runs = [
        ends(torch.optim.SGD, 0.05, 32, 16, x, y, seed),
        ends(torch.optim.Adam, 0.05, 32, 16, x, y, seed),
    ]
    return float(objective(*network(solution), x, y, BETA) / torch.cat(runs).min())


def of_every_width(width: int) -> Callable[..., Tensor]:
    def trained(width_: int, x: Tensor, y: Tensor, seed: int) -> Tensor:
        return ends(torch.optim.Adam, 0.05, width, 24, x, y, seed)

    return trained


def trained(width: int, x: Tensor, y: Tensor, seed: int) -> Tensor:
    return ends(torch.optim.Adam, 0.05, width, 24, x, y, seed)


@claim(
    "training of ReLU networks", EFFICIENT, kind="empirical", predicts=at_least(0.3), tolerance=0.0, subject=trained,
    wrong=of_every_width(4), seeds=4, scale="six points on a line, 4 against 64 neurons, 24 starts, Adam, 500 steps",
)  # fmt: skip
def wide_networks_reach_the_convex_optimum_more_often(method: Callable[..., Tensor], seed: int) -> float:
    """Descents get stuck in minima that are not global, depending on their start, and the more so the fewer neurons
    there are.

    The share of starts that end within 1 % of the convex program's optimum, of 64 neurons less of 4.
    """
    x, y = task(ROWS, seed)
    best = float(objective(*network(admm(x, y, patterns(x)[0], BETA, RHO).weights), x, y, BETA))
    shares = [float((method(width, x, y, seed) < 1.01 * best).double().mean()) for width in (64, 4)]
    return shares[0] - shares[1]


def by_slow_steps(
    x: Tensor, y: Tensor, active: Tensor, beta: float, rho: float, steps: int = 2000
) -> Solution:
    """Wrong: proximal gradient steps that shrink like 1/t, cones left out."""
    masked = active[:, :, None] * x
    v, moved = torch.zeros(2, len(active), 2, dtype=x.dtype), []
    smooth = float(torch.linalg.matrix_norm(masked.permute(1, 0, 2).reshape(len(y), -1), 2)) ** 2 * 2
    for t in range(steps):
        off = torch.einsum("pnd,pd->n", masked, v[0] - v[1]) - y
        slope = torch.einsum("pnd,n->pd", masked, off)
        rate = 1 / (smooth * (1 + t))
        new = shrunk(v - rate * torch.stack([slope, -slope]), rate * beta)
        moved.append(float((new - v).norm()))
        v = new
    return Solution(v, moved)


@claim(
    "convex ReLU network", EFFICIENT, kind="theorem", predicts=at_least(1.5), tolerance=0.0, subject=admm,
    wrong=by_slow_steps, seeds=4,
)  # fmt: skip
def admm_converges_linearly(method: Solver, seed: int) -> float:
    """ADMM on the convex program converges linearly: every further digit costs as many steps as the one before.

    Digits by which a step became shorter at the end of a run over those at half of it: 2 for a geometric series, 1.1
    for one like 1/t. The run ends at 4,000 steps or at 12 digits; six points on a line, ρ = 0.03.
    """
    x, y = task(ROWS, seed)
    moved = method(x, y, patterns(x)[0], BETA, RHO, steps=4000).moved
    long = next((t for t, step in enumerate(moved) if step < 1e-12 * moved[0]), len(moved) - 1)
    return math.log(moved[0] / moved[long]) / math.log(moved[0] / moved[long // 2])


@claim(
    "convex ReLU network", EFFICIENT, kind="empirical", predicts=at_least(0.9), tolerance=0.0, subject=admm,
    wrong=by_slow_steps, seeds=7, scale="six points on a line, all 12 patterns, β = 0.1, ρ = 0.1",
)  # fmt: skip
def a_few_steps_of_admm_are_good_already(method: Solver, seed: int) -> float:
    """The first steps of ADMM already give a network whose predictions are accurate.

    The share of Σ y² that the network of 20 steps explains, over the share that the optimal network does; 0.9 stands
    for accurate.
    """
    x, y = task(ROWS, seed)
    active = patterns(x)[0]
    found = (method(x, y, active, BETA, 0.1, steps=20), admm(x, y, active, BETA, RHO, steps=1500))
    shares = [
        1 - float((y - said(*network(one.weights), x)).square().sum() / y.square().sum()) for one in found
    ]
    return shares[0] / shares[1]


def first_one_way(x: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Wrong: patterns of neurons that are off everywhere, and one of a neuron that is on."""
    return (torch.arange(count)[:, None] == count - 1).to(x.dtype).expand(count, x.shape[0])


@claim(
    "sampled patterns", EFFICIENT, kind="theorem", predicts=at_most(0.5), tolerance=0.0, subject=sampled,
    wrong=first_one_way, in_mean=True,
)  # fmt: skip
def one_more_random_pattern_seldom_helps(method: Callable[..., Tensor], seed: int) -> float:
    """One more than P random patterns lowers the optimum of the program with a probability of at most (n+1)/(P+1) in
    the mean over all draws, as few patterns can carry a solution for n points.

    The share of 24 draws in which the tenth pattern lowers it by more than one in 10⁴; four points of the plane with a
    bias.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.cat([torch.randn(24, 4, 2, generator=random, dtype=torch.float64), torch.ones(24, 4, 1)], -1)
    y = torch.randn(24, 4, generator=random, dtype=torch.float64)
    active = torch.stack([method(some, 10, random) for some in x])
    fewer = active.clone()
    fewer[:, -1] = 0  # a pattern that is off says nothing
    lowest = [program(admm(x, y, a, BETA, 0.1, steps=500).weights, x, y, a, BETA) for a in (active, fewer)]
    return float((lowest[0] < lowest[1] * (1 - 1e-4)).double().mean())
