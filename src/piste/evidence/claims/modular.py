"""Two-layer networks that add modulo d."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..problems.modular import Network, answers, truth
from .wrong import told

COGO = "Composing Global Optimizers to Reasoning Tasks via Algebraic Objects in Neural Nets"


def of_order_six(d: int, phases: int = 3) -> Network:
    """A sum over frequencies of the product of a unit of order 2, which leaves only the products of both inputs, and
    one of order 3, whose phases cancel all but cos(k(a + b - c)). d is odd."""
    angles = 2 * math.pi * torch.arange(phases, dtype=torch.float64) / phases
    turns = 2 * math.pi * torch.arange(d, dtype=torch.float64) / d
    parts: list[Network] = []
    for k in range(1, (d + 1) // 2):
        wave, back = (k * turns + angles[:, None]).cos(), (k * turns + 2 * angles[:, None]).cos()
        inputs = times((wave, wave, 2 * back / (phases * d)), signs(d))
        parts.append(inputs)
    return plus(*parts)


def of_order_four(d: int) -> Network:
    """The same with two phases: too few."""
    return of_order_six(d, 2)


def signs(d: int) -> Network:
    one = torch.ones(2, d, dtype=torch.float64)
    sign = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    return one, sign * one, sign * one


def plus(*nets: Network) -> Network:
    """The sum in the semiring: all hidden units side by side."""
    a, b, c = (torch.cat([net[i] for net in nets]) for i in range(3))
    return a, b, c


def times(x: Network, y: Network) -> Network:
    """A product that acts on each pair of hidden units, entry by entry, in the basis of residues."""
    a, b, c = ((p[:, None] * q).flatten(0, 1) for p, q in zip(x, y, strict=True))
    return a, b, c


@claim(
    "composed networks",
    COGO,
    subject=of_order_six,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=of_order_four,
    seeds=1,
)
def three_phases_and_two_signs_per_frequency_add_modulo_d(
    method: Callable[[int], Network], seed: int
) -> float:
    """A product of a unit of order 2 and one of order 3 per frequency is a global optimum of modular addition: a
    two-layer network of squares with 6 · (d-1)/2 hidden units has no loss.

    The largest error over all a, b and outputs, for d = 3, 5, 7, 11 and 23.
    """
    return max(float((answers(method(d)) - truth(d)).abs().max()) for d in (3, 5, 7, 11, 23))


def potentials(net: Network) -> Tensor:
    """Σ_j w_a,j[k] w_b,j[l] w_c,j[m] for all k, l, m: what the loss depends on."""
    return torch.einsum("jk,jl,jm->klm", *net)


def random_net(seed: int, units: int, d: int = 5) -> Network:
    random = torch.Generator().manual_seed(seed)
    a, b, c = torch.randn(3, units, d, generator=random, dtype=torch.float64).unbind()
    return a, b, c


def units_in_pairs(x: Network, y: Network) -> Network:
    """No product of the semiring: the first units of both, multiplied one by one."""
    units = min(len(x[0]), len(y[0]))
    a, b, c = (p[:units] * q[:units] for p, q in zip(x, y, strict=True))
    return a, b, c


@claim(
    "composed networks",
    COGO,
    subject=times,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=units_in_pairs,
    seeds=3,
)
def potentials_turn_sums_and_products_of_networks_into_those_of_numbers(
    method: Callable[[Network, Network], Network], seed: int
) -> float:
    """Networks of any widths form a semiring under placing side by side and multiplying all pairs of units, and the
    potentials of the loss are ring homomorphisms: r(x (y + z)) = r(x) (r(y) + r(z)).

    The largest difference of both sides for random networks of 3, 4 and 5 units.
    """
    x, y, z = random_net(seed, 3), random_net(seed + 100, 4), random_net(seed + 200, 5)
    both = potentials(x) * (potentials(y) + potentials(z))
    return float((potentials(method(x, plus(y, z))) - both).abs().max())


def trained(method: Any, seed: int, d: int = 7, units: int = 48, steps: int = 1500) -> Tensor:
    """w_a, w_b and w_c after training from a small random start with the rate 0.03, falling to 0, and decay 0.1."""
    random = torch.Generator().manual_seed(seed)
    start = 0.05 * torch.randn(3, units, d, generator=random, dtype=torch.float64)
    p, target = torch.nn.Parameter(start), truth(d).view(d * d, d)
    opt = method([p], lr=0.03, weight_decay=0.1)
    for t in range(steps):
        p.grad = _slope(p.detach(), target)
        for group in opt.param_groups:
            group["lr"] = 0.03 * (1 - t / steps)
        opt.step()
    return p.detach()


def _slope(net: Tensor, target: Tensor) -> Tensor:
    """The gradient of the sum of squared errors."""
    a, b, c = net
    d = a.shape[1]
    sums = a[:, :, None] + b[:, None, :]
    hidden, out = sums.square().flatten(1), c - c.mean(1, keepdim=True)
    off = hidden.mT @ out - target
    by_out = hidden @ off
    by_sum = 2 * (out @ off.mT).view(-1, d, d) * sums
    return 2 * torch.stack([by_sum.sum(2), by_sum.sum(1), by_out - by_out.mean(1, keepdim=True)])


def orders(net: Tensor) -> tuple[Tensor, Tensor]:
    """How many live units each frequency has (live: above a thousandth of the largest squared norm), and whether all of
    them keep 95 % of their size in it."""
    size = net.square().sum((0, 2))
    power = torch.fft.rfft(net, dim=-1)[:, :, 1:].abs().square().sum(0)[size > 1e-3 * size.max()]
    pure, own = power.max(1).values > 0.95 * power.sum(1), power.argmax(1)
    counts = torch.bincount(own, minlength=power.shape[1])
    return counts, torch.bincount(own[pure], minlength=power.shape[1]) == counts


@claim(
    "Adam",
    COGO,
    kind="empirical",
    predicts=at_least(0.95),
    tolerance=0.0,
    wrong=told("Adam", weight_decay=0.0),
    seeds=4,
    scale="addition modulo 7, 48 hidden units from small random starts, 1,500 steps with decay 0.1 in the gradient",
)
def gradient_descent_finds_the_composed_solutions(method: Any, seed: int) -> float:
    """About 95 % of the solutions that gradient descent finds with weight decay are the composed ones: of order 4 or 6
    in every frequency.

    The share of frequencies with 4 or 6 live hidden units, all of which are of this frequency only. (Training must come
    to rest: with decay 0.03, 1,500 steps leave units to spare, and 3,000 do not.)
    """
    counts, pure = orders(trained(method, seed))
    return float((pure & ((counts == 4) | (counts == 6))).double().mean())


@claim(
    "Adam",
    COGO,
    kind="empirical",
    predicts=at_most(6.0),
    tolerance=0.0,
    wrong=told("Adam", weight_decay=0.0),
    seeds=3,
    in_mean=False,
    scale="addition modulo 7, 48 hidden units from small random starts, 1,500 steps with decay 0.1 in the gradient",
)
def weight_decay_favors_solutions_of_low_order(method: Any, seed: int) -> float:
    """Under weight decay solutions of low order are favored over others without loss, such as memorization of all d²
    pairs: 6 units per frequency suffice, however many there are.

    Live hidden units per frequency, in every run; there are 16 for each.
    """
    counts, _ = orders(trained(method, seed))
    return float(counts.double().mean())
