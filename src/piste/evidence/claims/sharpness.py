"""Which curvature methods tolerate, and which they make small."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..claim import between, claim
from .wrong import instead

SHARPNESS = "How Does Sharpness-Aware Minimization Minimize Sharpness?"
VALLEY = (
    (2.0, 0.5),
    (1.2, -0.9),
)  # λᵢ and its slope along the floor: the largest eigenvalue rises, the trace falls


def speed_along_the_floor(method: Any, seed: int, single: bool, steps: int) -> float:
    """By how much v moves down in a step over ηρ²/2, along the floor u = 0 of the mean over i = 1, 2 of
    ½ (λᵢ + λᵢ' v) uᵢ², from random u: with the gradient of both terms, or of one, in random order in every pair of
    steps."""
    random = torch.Generator().manual_seed(seed)
    rate, rho, half = 0.02, 0.1, torch.tensor(VALLEY, dtype=torch.float64)
    u0 = 0.3 * (1 + torch.rand(2, generator=random, dtype=torch.float64))
    w = torch.nn.Parameter(torch.cat([u0, torch.zeros(1, dtype=torch.float64)]))
    opt = method([w], lr=rate, momentum=0.0, rho=rho) if method.__name__ == "SAM" else method([w], lr=rate)
    first = torch.randint(2, (steps // 2,), generator=random)
    picks = torch.stack([first, 1 - first], 1).flatten().tolist()
    masks = torch.eye(2, dtype=torch.float64) if single else torch.full((2, 2), 0.5, dtype=torch.float64)
    middle = 0.0
    for t, pick in enumerate(picks):

        def closure(mask: Tensor = masks[pick]) -> Tensor:
            u, v = w.detach()[:2], w.detach()[2]
            sharp = mask * (half[:, 0] + half[:, 1] * v)
            w.grad = torch.cat([sharp * u, (0.5 * mask * half[:, 1] * u.square()).sum().view(1)])
            return 0.5 * (sharp * u.square()).sum()

        opt.step(closure)
        middle = float(w.detach()[2]) if t == steps // 2 - 1 else middle
    return (middle - float(w.detach()[2])) / (steps / 2) / (0.5 * rate * rho**2)


@claim(
    "SAM",
    SHARPNESS,
    kind="theorem",
    predicts=between(0.9, 1.1),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=2,
)
def sam_lowers_the_largest_eigenvalue_at_a_known_speed(method: Any, seed: int) -> float:
    """Along a floor of minima SAM with exact gradients moves down the gradient of the largest eigenvalue of the
    Hessian, with the speed ηρ²/2 a step as η and ρ become small.

    The speed in the second half of 1200 steps over that, where the largest eigenvalue of a loss of three unknowns rises
    along the floor and the trace falls; η = 0.02, ρ = 0.1.
    """
    return speed_along_the_floor(method, seed, False, 1200) / (0.5 * VALLEY[0][1])


@claim(
    "SAM",
    SHARPNESS,
    kind="theorem",
    predicts=between(0.8, 1.2),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=2,
)
def sam_on_single_samples_lowers_the_trace_at_a_known_speed(method: Any, seed: int) -> float:
    """SAM whose climb follows the loss of one sample at a time moves down the gradient of the trace of the Hessian
    instead, with the same speed.

    As above, on the same loss, with its two terms in turn, in random order: the other way along the floor.
    """
    return speed_along_the_floor(method, seed, True, 1200) / (0.5 * (VALLEY[0][1] + VALLEY[1][1]))
