"""Gradients and Hessians of mini-batches, averaged by Kalman's filter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..claim import claim, equal
from .identities import noise
from .matrices import matrix
from .papers import FILTERED
from .wrong import told


def _filtered(
    method: Any, seen: list[Tensor], bend: Tensor, alpha: float, beta: float
) -> list[tuple[Tensor, Tensor]]:
    """The filter's mean and covariance after every one of the gradients, all with this Hessian; nothing moves."""
    w = nn.Parameter(torch.zeros_like(seen[0]))
    opt, found = method([w], lr=0.0, alpha=alpha, beta=beta), []
    for g in seen:

        def evaluate(g: Tensor = g) -> Tensor:
            opt.zero_grad()
            loss = 0.5 * w @ bend @ w + g @ w
            loss.backward()
            return loss.detach()

        opt.step(evaluate)
        slots = opt.state[w]
        found.append((slots["filtered"].clone(), slots["covariance"].clone()))
    return found


def positive(seed: int, n: int, least: float = 0.5) -> Tensor:
    a = matrix(seed, n, n)
    return a @ a.mT / n + least * torch.eye(n, dtype=torch.float64)


@claim(
    "FilteredNewton",
    FILTERED,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-3,
    wrong=told("FilteredNewton", beta=0.5),
    seeds=3,
)
def the_filter_averages_the_gradients_of_a_slope_at_rest(method: Any, seed: int) -> float:
    """Of a latent slope that does not move the filter's mean is the average of all gradients so far, and its covariance
    the Hessian over their number.

    The largest difference over 30 gradients of 4 numbers with one Hessian, α = 1 - 1e-14 and β = 1e-7, with
    which the slope moves by 2e-3 in them.
    """
    draws, bend = noise(seed, 4), positive(seed, 4)
    seen = [draws(t, bend) for t in range(30)]
    worst = 0.0
    for t, (mean, cover) in enumerate(_filtered(method, seen, bend, 1 - 1e-14, 1e-7), start=1):
        offs = mean - torch.stack(seen[:t]).mean(0), cover - bend / t
        worst = max(worst, *(float(off.abs().max()) for off in offs))
    return worst


@claim(
    "FilteredNewton",
    FILTERED,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("FilteredNewton", alpha=0.5),
    seeds=3,
)
def the_discriminative_filter_is_kalmans(method: Any, seed: int) -> float:
    """Where observations y are the latent slope x and Gaussian noise, and the filter is given the mean and covariance
    of x given y alone, its mean and covariance are those of Kalman's filter.

    The largest difference over 30 steps of 4 numbers from Kalman's recursion at its stationary start, α = 0.9, β = 0.2.
    """
    alpha, beta, n = 0.9, 0.2, 4
    eye, cover_of_noise = torch.eye(n, dtype=torch.float64), positive(seed, n)
    prior = beta / (1 - alpha**2) * eye
    q = torch.linalg.inv(torch.linalg.inv(cover_of_noise) + torch.linalg.inv(prior))
    ys = [3 * noise(seed, n)(t, eye) for t in range(30)]
    told_ = [q @ torch.linalg.solve(cover_of_noise, y) for y in ys]
    mean, cover, worst = torch.zeros(n, dtype=torch.float64), prior, 0.0
    for t, (got, width) in enumerate(_filtered(method, told_, q, alpha, beta)):
        if t:
            mean, cover = alpha * mean, alpha**2 * cover + beta * eye
        gain = cover @ torch.linalg.inv(cover + cover_of_noise)
        mean, cover = mean + gain @ (ys[t] - mean), cover - gain @ cover
        worst = max(worst, float((got - mean).abs().max()), float((width - cover).abs().max()))
    return worst
