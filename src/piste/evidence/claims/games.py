"""Equilibria of games, found by minimizing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from ..problems.games import matrices, sampled, slopes
from .wrong import scaled

EQUILIBRIA = "Approximating Nash Equilibria in Normal-Form Games via Stochastic Optimization"
Loss = Callable[[Tensor, Tensor, float], Tensor]


def squared_slopes(payoffs: Tensor, mixed: Tensor, temperature: float) -> Tensor:
    return slopes(payoffs, mixed, temperature).square().sum()


def squared_gradients(payoffs: Tensor, mixed: Tensor, temperature: float) -> Tensor:
    """Wrong: the mean is not taken off."""
    rise = (payoffs @ mixed.flip(0).unsqueeze(2)).squeeze(2) - temperature * mixed.log()
    return rise.square().sum()


def untempered(payoffs: Tensor, mixed: Tensor, temperature: float) -> Tensor:
    """Wrong: without the entropy."""
    return slopes(payoffs, mixed, 0.0).square().sum()


def averaged(payoffs: Tensor, mixed: Tensor, temperature: float) -> Tensor:
    """Wrong: the mean of the squares in place of their sum."""
    return slopes(payoffs, mixed, temperature).square().mean()


def exploitability(payoffs: Tensor, mixed: Tensor) -> float:
    """The most that a player gains by moving alone."""
    each = (payoffs @ mixed.flip(0).unsqueeze(2)).squeeze(2)
    return float((each.max(1).values - (each * mixed).sum(1)).max())


@claim(
    "equilibrium loss",
    EQUILIBRIA,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-20,
    wrong=squared_gradients,
    subject=squared_slopes,
    seeds=5,
)
def the_equilibrium_loss_vanishes_at_an_interior_equilibrium(method: Loss, seed: int) -> float:
    """In the interior of the simplexes the loss Σₖ ‖Π ∇ₖuₖ‖² is 0 at a Nash equilibrium and only there.

    The loss at the mixed equilibrium of a random 4 x 4 game, which is constructed with it; plus 1 if the loss falls
    below the squared exploitability over 2 at one of 100 random strategies that are none.
    """
    payoffs, _, mixed = matrices(4, seed, 0.0)
    random = torch.Generator().manual_seed(seed)
    others = torch.randn(100, 2, 4, generator=random, dtype=torch.float64).softmax(2)
    low = any(float(method(payoffs, x, 0.0)) < 0.5 * exploitability(payoffs, x) ** 2 for x in others)
    return float(method(payoffs, mixed, 0.0)) + low


@claim(
    "equilibrium loss",
    EQUILIBRIA,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-18,
    wrong=untempered,
    subject=squared_slopes,
    seeds=5,
)
def the_tempered_loss_vanishes_at_the_quantal_response_equilibrium(method: Loss, seed: int) -> float:
    """With the entropy of the strategies added to the payoffs, times a temperature τ, the loss is 0 exactly where every
    strategy is the softmax of its payoffs over τ.

    The loss at such a point of a random 4 x 4 game for τ = 2, found by 200 rounds of each answering the other by the
    softmax (a contraction for payoffs that differ by less).
    """
    temperature = 2.0
    payoffs = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mixed = torch.full((2, 4), 0.25, dtype=torch.float64)
    for _ in range(200):
        mixed = ((payoffs @ mixed.flip(0).unsqueeze(2)).squeeze(2) / temperature).softmax(1)
    return float(method(payoffs, mixed, temperature))


@claim(
    "equilibrium loss",
    EQUILIBRIA,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=averaged,
    subject=squared_slopes,
    seeds=5,
)
def the_loss_bounds_what_a_player_can_gain(method: Loss, seed: int) -> float:
    """The exploitability is at most a multiple of the temperature, plus a multiple of the root of the loss.

    The constants here are τ log m and √2, for m actions: ⟨∇u, y - x⟩ ≤ √2 ‖Π∇u^τ‖ + τ (y - x)ᵀ log x, and the last
    is at most τ times the entropy of x. The largest ratio of the gain to its bound at 200 random strategies of a
    random 3 x 3 game, for τ of 0 and 0.1.
    """
    random = torch.Generator().manual_seed(seed)
    payoffs = torch.rand(2, 3, 3, generator=random, dtype=torch.float64)
    worst = 0.0
    for x in (2 * torch.randn(200, 2, 3, generator=random, dtype=torch.float64)).softmax(2):
        gain = exploitability(payoffs, x)
        for t in (0.0, 0.1):
            loss = max(float(method(payoffs, x, t)), 0.0)
            worst = max(worst, gain / (t * math.log(3) + math.sqrt(2 * loss)))
    return worst


def of_two_samples(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum()


def of_one_sample(first: Tensor, second: Tensor) -> Tensor:
    """Wrong: a sample times itself, whose mean holds the variance, too."""
    return (first * first).sum()


@claim(
    "equilibrium loss",
    EQUILIBRIA,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=of_one_sample,
    subject=of_two_samples,
    seeds=5,
)
def two_samples_of_play_estimate_the_loss_without_bias(
    method: Callable[[Tensor, Tensor], Tensor], seed: int
) -> float:
    """The product of the slopes that two independent samples of play show has the loss as its mean.

    The difference between the loss at a random point of a random 4 x 4 game and the mean over all pairs of the other
    player's actions, by their probability, of the product of their projected slopes, relative to the loss.
    """
    payoffs, _, _ = matrices(4, seed, 0.0)
    random = torch.Generator().manual_seed(seed)
    mixed = torch.randn(2, 4, generator=random, dtype=torch.float64).softmax(1)
    columns, mean = payoffs - payoffs.mean(1, keepdim=True), 0.0
    for player in (0, 1):
        for a, p in enumerate(mixed[1 - player].tolist()):
            for b, q in enumerate(mixed[1 - player].tolist()):
                mean += p * q * float(method(columns[player, :, a], columns[player, :, b]))
    loss = float(squared_slopes(payoffs, mixed, 0.0))
    return abs(mean - loss) / loss


@claim(
    "SGD",
    EQUILIBRIA,
    kind="empirical",
    predicts=at_most(0.2),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-6),
    seeds=4,
    scale="32 games of 3 x 3 actions with payoffs around 0 to 1 and a mixed equilibrium, 200 steps of 2 x 16 draws",
)
def stochastic_gradients_find_an_approximate_equilibrium(method: Any, seed: int) -> float:
    """Stochastic gradient descent on the unbiased loss finds an approximate equilibrium of a general-sum game.

    What a player can gain from the mean strategies of the last 40 steps, relative to the uniform ones at the start,
    both summed over 32 games. The rate is 4 / (1 + t/40), of rates that half and twice do as well, to a factor of two;
    each gradient comes from two samples of 16 actions of either player.
    """
    games = [matrices(3, 32 * seed + k, 0.0)[0] for k in range(32)]
    payoffs, random = torch.stack(games), torch.Generator().manual_seed(seed)
    logits = torch.nn.Parameter(torch.zeros(32, 2, 3, dtype=torch.float64))
    opt, last = method([logits], lr=4.0), []
    for t in range(200):
        opt.param_groups[0]["lr"] *= (1 + (t - 1) / 40) / (1 + t / 40) if t else 1.0
        opt.zero_grad()
        sampled(payoffs, logits, 0.0, 16, random).backward()
        opt.step()
        last.append(logits.detach().softmax(2))
    mixed = torch.stack(last[-40:]).mean(0)
    left = sum(exploitability(u, x) for u, x in zip(games, mixed, strict=True))
    return left / sum(exploitability(u, torch.full_like(x, 1 / 3)) for u, x in zip(games, mixed, strict=True))
