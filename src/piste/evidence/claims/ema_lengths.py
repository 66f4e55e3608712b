"""Averages whose length is chosen when the run is over, and layers that keep magnitudes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from ..._chain import Part
from ...averaging.magnitude import MPLinear, mp_silu
from ...linalg.profiles import exponent, mixture, products
from ...transforms.averaging import ema_weights
from ...transforms.power_ema import power_ema
from ..claim import at_most, claim, equal
from .weight_averages import H, walk

DYNAMICS = "Analyzing and Improving the Training Dynamics of Diffusion Models"
KEPT = (0.05, 0.1)
Mixing = Callable[[list[tuple[float, float]], float, float], np.ndarray]


def fixed(length: float) -> Part:
    """An exponential average of one length, that of a run of 200 steps."""
    return ema_weights(1 - 1 / (200 * length))


@claim(
    "power_ema", DYNAMICS, subject=power_ema, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=fixed, seeds=3
)  # fmt: skip
def a_power_average_weighs_time_by_a_power(method: Callable[..., Part], seed: int) -> float:
    """With β = (1 - 1/t)^(γ+1) an exponential average is, at every moment, the mean of all points so far weighted as
    τ^γ over the time from 0 to now: it has the same shape in a run of any length.

    The largest difference of the average of length 0.1 from Σ ((k/t)^(γ+1) - ((k-1)/t)^(γ+1)) p_k over 200 random
    steps.
    """
    draw, power = torch.Generator().manual_seed(seed), exponent(0.1) + 1
    steps = torch.randn(200, 1, 5, generator=draw, dtype=torch.float64)
    points, worst = [], 0.0
    for point, shown in walk(method(length=0.1), lambda t, _: steps[t], torch.zeros_like(steps[0]), 200, 1.0):
        points.append(point)
        edges = torch.linspace(0, 1, len(points) + 1, dtype=torch.float64) ** power
        mean = torch.einsum("t,tij->ij", edges.diff(), torch.stack(points))
        worst = max(worst, float((shown - mean).abs().max()))
    return worst


def nearest(kept: list[tuple[float, float]], length: float, at: float) -> np.ndarray:
    """The one snapshot whose profile is nearest."""
    gammas, times = (np.array(column) for column in zip(*kept, strict=True))
    inner = products(gammas, times, np.array([exponent(length)]), np.array([at]))[:, 0]
    gaps = products(gammas, times, gammas, times).diagonal() - 2 * inner
    return (np.arange(len(kept)) == gaps.argmin()).astype(float)


@claim(
    "post-hoc EMA", DYNAMICS, subject=mixture, kind="theorem", predicts=equal(4.0), tolerance=0.5,
    wrong=nearest, seeds=1,
)  # fmt: skip
def the_error_of_a_profile_made_of_snapshots_falls_with_their_fourth_power(
    method: Mixing, seed: int
) -> float:
    """An average of any length is made afterwards from snapshots of two; the mean squared error of its profile falls
    with the fourth power of the number of snapshots.

    The order between 16 and 32 snapshots of lengths 0.05 and 0.1, the one furthest from 4 of the lengths 0.07, 0.15 and
    0.2.
    """
    orders = []
    for length in (0.07, 0.15, 0.2):
        errors = []
        for count in (16, 32):
            kept = [(exponent(x), (i + 1) / count) for i in range(count) for x in KEPT]
            gammas, times = (np.array(column) for column in zip(*kept, strict=True))
            wanted, end, x = np.array([exponent(length)]), np.ones(1), method(kept, length, 1.0)
            own, both, there = (
                products(*one, *other)
                for one, other in (
                    ((gammas, times), (gammas, times)), ((gammas, times), (wanted, end)), ((wanted, end), (wanted, end))
                )
            )  # fmt: skip
            errors.append(float(x @ own @ x - 2 * x @ both[:, 0] + there[0, 0]))
        orders.append(np.log2(errors[0] / errors[1]))
    return float(max(orders, key=lambda order: abs(order - 4)))


@lru_cache(8)
def run(seed: int) -> tuple[Tensor, list[tuple[float, float]], Tensor]:
    """Points of 24 runs of 800 noisy steps of a constant rate on a quadratic, and 32 snapshots of both averages: their
    exponents and times, and their values."""
    random = torch.Generator().manual_seed(seed)
    start = torch.randn(24, len(H), generator=random, dtype=torch.float64)
    noise = H.sqrt() * torch.randn(800, 24, len(H), generator=random, dtype=torch.float64)
    points, kept, values = [], [], []

    def slope(t: int, x: Tensor) -> Tensor:
        points.append(x)
        return H * x + noise[t]

    for length in KEPT:
        points.clear()
        pairs = list(walk(power_ema(length=length), slope, start, 800, 0.3, 25))
        kept += [(exponent(length), 25.0 * i) for i in range(1, len(pairs) + 1)]
        values += [shown for _, shown in pairs]
    return torch.stack([*points[1:], pairs[-1][0]]), kept, torch.stack(values)


@claim(
    "post-hoc EMA", DYNAMICS, subject=mixture, kind="empirical", predicts=at_most(0.01), tolerance=0.0, wrong=nearest,
    seeds=4, scale="24 noisy quadratics of 9 numbers, condition number 100, 800 steps, 32 snapshots",
)  # fmt: skip
def an_average_made_afterwards_has_the_loss_of_the_one_that_was_not_kept(method: Mixing, seed: int) -> float:
    """Averages of other lengths, made after the run from a few snapshots of two, cost what they would have cost had
    they been kept: the best length can be looked for when all is over.

    The largest relative difference of the loss from that of the average taken directly, of lengths 0.03, 0.07, 0.15 and
    0.2.
    """
    points, kept, values = run(seed)
    edges, worst = torch.linspace(0, 1, len(points) + 1, dtype=torch.float64), 0.0
    for length in (0.03, 0.07, 0.15, 0.2):
        made = torch.tensordot(torch.from_numpy(method(kept, length, float(len(points)))), values, 1)
        direct = torch.tensordot((edges ** (exponent(length) + 1)).diff(), points, 1)
        costs = [float((H * x.square()).sum()) for x in (made, direct)]
        worst = max(worst, abs(costs[0] / costs[1] - 1))
    return worst


def plain(fan_in: int, fan_out: int) -> nn.Linear:
    """A linear layer that begins with rows of norm 1, and may go where it will."""
    layer = nn.Linear(fan_in, fan_out, bias=False)
    nn.init.normal_(layer.weight, std=fan_in**-0.5)
    return layer


def trained(
    method: Callable[[int, int], nn.Module], seed: int, steps: int, rate: float
) -> Sequence[nn.Module]:
    """Three layers of a network after steps of SGD on batches of a random task."""
    torch.manual_seed(seed)
    layers = nn.ModuleList(method(*size) for size in ((20, 40), (40, 40), (40, 5))).double()
    truth = torch.randn(20, 5, dtype=torch.float64)
    opt = torch.optim.SGD(layers.parameters(), lr=rate)
    for _ in range(steps):
        x = torch.randn(32, 20, dtype=torch.float64)
        hidden = mp_silu(layers[1](mp_silu(layers[0](x))))
        opt.zero_grad()
        (layers[2](hidden) - (x @ truth).tanh()).square().mean().backward()
        opt.step()
    return list(layers)


@claim(
    "MPLinear", DYNAMICS, subject=MPLinear, kind="theorem", predicts=equal(1.0), tolerance=1e-3, wrong=plain, seeds=3
)  # fmt: skip
def layers_that_keep_magnitudes_do_so_after_training(
    method: Callable[[int, int], nn.Module], seed: int
) -> float:
    """However a layer that keeps magnitudes was trained, uncorrelated inputs of variance 1 leave it with variance 1.

    The variance of an output, Σᵢ (∂yⱼ/∂xᵢ)², that is furthest from 1 of three layers after 50 steps of SGD at the rate
    0.3 (10⁻³ is for the ε in their norms).
    """
    layers = trained(method, seed, 50, 0.3)
    sizes = (20, 40, 40)
    with torch.no_grad():
        found = torch.cat(
            [f(torch.eye(n, dtype=torch.float64)).square().sum(0) for f, n in zip(layers, sizes, strict=True)]
        )
    return float(found[(found - 1).abs().argmax()])
