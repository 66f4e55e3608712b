"""Physics-informed training of small networks: wells of quantum mechanics, splines against sigmoids."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim
from ..problem import Problem, descend
from ..problems.splines import kan
from ..problems.wells import Field, finite_well, held, infinite_wave, infinite_well, level, places
from .wrong import scaled

WELLS = "Physics-Informed Neural Networks for One-Dimensional Quantum Well Problems"
KINN = (
    "Kolmogorov Arnold Informed neural network: A physics-informed deep learning framework for solving PDEs based on "
    "Kolmogorov Arnold Networks"
)
Model = Callable[[Tensor, Tensor], Field]


@claim(
    "LBFGS",
    WELLS,
    kind="empirical",
    predicts=at_most(0.01),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-4),
    seeds=4,
    scale="a tanh network of 8 hidden units at 40 points, 80 steps of L-BFGS",
)
def a_network_learns_the_ground_state_of_an_infinite_well(method: Any, seed: int) -> float:
    """x(1 - x) times a network, trained on the residual of ψ'' + π²ψ = 0 and on ∫ψ² = 1, is indistinguishable from the
    ground state √2 sin πx.

    The relative distance between them up to the sign, in L² on (0, 1).
    """
    psi = infinite_wave(descend(infinite_well(seed=seed), method, 80, lr=1.0).end, places(40, 0, 1))[0]
    true = math.sqrt(2) * (math.pi * places(40, 0, 1)).sin()
    return float(min((psi - true).norm(), (psi + true).norm()) / true.norm())


@claim(
    "LBFGS",
    WELLS,
    kind="empirical",
    predicts=at_most(0.05),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-6),
    seeds=8,
    cost="full",
    scale="a well of depth 20 and width 2 on (-3, 3), a tanh network of 24 hidden units at 120 points, 800 steps of "
    "L-BFGS from the energy 1",
)
def a_trainable_energy_converges_to_that_of_a_finite_well(method: Any, seed: int) -> float:
    """Where the energy is trained with the wave, on the residual of -ψ'' + Vψ = Eψ and on ∫ψ² = 1, it converges to the
    well's known one.

    |E/E° - 1| for the ground state.
    """
    end = descend(finite_well(seed=seed), method, 800, lr=1.0).end
    return abs(float(end[-1]) / level(20.0) - 1)


def mlp(theta: Tensor, x: Tensor) -> Field:
    """A network of one input, two layers of 7 and 8 units with tanh and one output, 87 numbers (the 88th is idle)."""
    w, b, wide, c, a = (part.unsqueeze(-2) for part in theta[..., :87].split([7, 7, 56, 8, 9], -1))
    t = torch.tanh(x[:, None] * w + b)
    slope = 1 - t * t
    m, out = wide.unflatten(-1, (7, 8)).squeeze(-3), a[..., :8].mT
    z, dz, ddz = t @ m + c, (slope * w) @ m, (-2 * t * slope * w * w) @ m
    s = torch.tanh(z)
    slope = 1 - s * s
    bent = (slope * ddz - 2 * s * slope * dz.square()) @ out
    return (s @ out).squeeze(-1) + a[..., 8], ((slope * dz) @ out).squeeze(-1), bent.squeeze(-1)


def poisson_errors(model: Model, seed: int, rate: float, steps: int, starts: int = 4) -> Tensor:
    """The relative errors in L² of (1 - x²) times a model from several starts, trained side by side by Adam with a rate
    that falls to 0, on the residual of -u'' = f on (-1, 1) at 100 points, where u = sin πx + 0.2 sin 6πx."""
    x, random = places(100, -1, 1), torch.Generator().manual_seed(seed)
    mask = (1 - x.square(), -2 * x, torch.full_like(x, -2))
    true = (math.pi * x).sin() + 0.2 * (6 * math.pi * x).sin()
    bend = -(math.pi**2) * (math.pi * x).sin() - 0.2 * 36 * math.pi**2 * (6 * math.pi * x).sin()
    start = torch.randn(88 * starts, generator=random, dtype=torch.float64) * (0.3 if model is kan else 1.0)

    def bent(thetas: Tensor) -> Tensor:
        return held(model(thetas.view(starts, 88), x), mask)[2]

    p = Problem("waves", lambda thetas: (bent(thetas) - bend).square().mean(1).sum(), start)
    adam = get("Adam", "optimizer").target
    end = descend(p, adam, steps, lr=rate, schedule=lambda t: 1 - t / steps).end
    found = held(model(end.view(starts, 88), x), mask)[0]
    return (found - true).norm(dim=1) / true.norm()


@claim(
    "KAN",
    KINN,
    subject=kan,
    kind="empirical",
    predicts=at_most(-0.3),
    tolerance=0.0,
    wrong=mlp,
    seeds=4,
    cost="full",
    scale="-u'' = f on (-1, 1), u of two waves; 88 numbers in 8 splines against 87 in two layers of tanh; 600 steps of "
    "Adam from 4 starts, each with the best of 2 rates",
)
def splines_solve_poissons_equation_better_than_sigmoids(method: Model, seed: int) -> float:
    """Kolmogorov-Arnold networks in the place of others are significantly more accurate after as many steps on the
    residual of a PDE. (Half the error is taken for significantly.)

    The decimal logarithm of the relative error in L² over that of a network of as many numbers with tanh: a mean over
    4 starts.
    """

    def best(model: Model) -> float:
        return min(float(poisson_errors(model, seed, rate, 600).log10().mean()) for rate in (0.03, 0.1))

    return best(method) - best(mlp)
