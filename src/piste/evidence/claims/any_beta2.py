"""ADOPT: converging whatever the second moment remembers. The skewed gradients are the paper's example from memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from .given_gradients import normal, path, steps_of
from .wrong import told

ADOPT = "ADOPT: Modified Adam Can Converge with Any β_2 with the Optimal Rate"


def skewed(seed: int, k: int, *shape: int) -> Tensor:
    """Gradients of mean 1 that are k² once in k times and -k else."""
    random = torch.Generator().manual_seed(seed)
    rare = torch.rand(shape, generator=random, dtype=torch.float64) < 1 / k
    return torch.where(rare, float(k * k), float(-k))


def _drift(method: Any, seed: int, k: int, steps: int, since: int, beta1: float) -> float:
    grads, worst = skewed(seed, k, steps, 512), -math.inf
    for beta2 in (0.1, 0.5, 0.99):
        points = path(method, grads, lr=0.01, betas=(beta1, beta2))
        worst = max(worst, float((points[-1] - points[since]).mean()) / (0.01 * (steps - since)))
    return worst


def _plain(params: Any, **hyper: Any) -> Any:
    return told("ADOPT", clip=False)(params, **hyper)


@claim(
    "ADOPT",
    ADOPT,
    kind="theorem",
    predicts=at_most(-0.02),
    tolerance=0.0,
    wrong=told("Adam"),
    subject=_plain,
    in_mean=True,
    seeds=3,
)
def adopt_goes_down_with_any_beta2(method: Any, seed: int) -> float:
    """On f = x with gradients k² once in k times and -k else, whose mean is 1, ADOPT goes down with any β₂, where Adam
    goes up unless β₂ is large.

    The largest mean step in units of the rate over β₂ = 0.1, 0.5, 0.99; k = 10, β₁ = 0.9, 200 steps, 512 runs, no
    clipping. A step goes down by the mean of 1/√v, which is k^(-3/2) = 0.03 or more.
    """
    return _drift(method, seed, 10, 200, 0, 0.9)


@claim(
    "ADOPT",
    ADOPT,
    kind="theorem",
    predicts=at_most(-0.05),
    tolerance=0.0,
    wrong=told("Adam"),
    in_mean=True,
    seeds=3,
)
def clipping_by_a_growing_bound_keeps_adopt_going_down(method: Any, seed: int) -> float:
    """Clipped at t^¼ ADOPT converges with any β₂ all the same: the bound grows beyond what gradients come to.

    As without clipping, with k = 4, which t^¼ passes at step 256, and β₁ = 0; steps 260 to 400.
    """
    return _drift(method, seed, 4, 400, 260, 0.0)


@claim(
    "ADOPT",
    ADOPT,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("ADOPT", clip=False),
    seeds=3,
)
def clipping_bounds_adopts_first_steps(method: Any, seed: int) -> float:
    """Where the first gradients are near zero the division by their squares makes huge steps; clipped, no step is
    longer than η t^¼.

    The largest |Δ_t| / (η t^¼) of 20 steps after a first gradient of 1e-5 N(0, 1), the others N(0, 1); β₁ = 0.
    """
    grads = normal(seed, 21, 50)
    grads[0] *= 1e-5
    moved = steps_of(method, grads, lr=0.01, betas=(0.0, 0.9999)).abs().amax(1)[1:]
    return float((moved / torch.arange(1, 21, dtype=torch.float64) ** 0.25).max())


@claim(
    "ADOPT",
    ADOPT,
    kind="theorem",
    predicts=at_most(-0.5),
    tolerance=0.05,
    wrong=told("Adam", lr=1.0),
    in_mean=True,
    seeds=3,
    subject=_plain,
)
def adopts_gradients_fall_as_the_root_of_steps(method: Any, seed: int) -> float:
    """With rates in proportion to 1/√T the mean of E‖∇f‖² over T steps falls as 1/√T, for any β₂ and without a bound on
    the noise.

    log₁₆ of the ratio of that mean at T = 800 and at T = 50, for f = ½ ‖x‖² with noise of N(0, I), β₂ = 0.5, rates
    1/√T, 128 runs of one coordinate from x = 2; -½ is the theorem's exponent.
    """

    def mean(steps: int) -> float:
        noise, x = normal(seed, steps, 128), torch.nn.Parameter(torch.full((128,), 2.0, dtype=torch.float64))
        opt, total = method([x], lr=1 / math.sqrt(steps), betas=(0.9, 0.5)), 0.0
        for n in noise:
            total += float(x.detach().square().mean()) / steps
            x.grad = x.detach() + n
            opt.step()
        return total

    return math.log(mean(800) / mean(50), 16)
