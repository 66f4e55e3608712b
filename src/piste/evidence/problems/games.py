"""Games as problems of minimization."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem


def matrices(actions: int, seed: int, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Payoffs (of player, own action, other's action), and the logits (of player, action) of an equilibrium.

    Random payoffs, to which every action gets the bonus that makes the chosen mixed strategies answer each other: each
    is the other's best answer or, with a temperature, the softmax of its payoffs over it.
    """
    random = torch.Generator().manual_seed(seed)
    payoffs = torch.rand(2, actions, actions, generator=random, dtype=torch.float64)
    logits = 0.5 * torch.randn(2, actions, generator=random, dtype=torch.float64)
    mixed = logits.softmax(1)
    wanted = temperature * mixed.log()
    bonus = wanted - (payoffs @ mixed.flip(0).unsqueeze(2)).squeeze(2)
    return payoffs + (bonus - bonus.mean(1, keepdim=True)).unsqueeze(2), logits, mixed


def slopes(payoffs: Tensor, mixed: Tensor, temperature: float) -> Tensor:
    """Of every player's payoff (plus its entropy times the temperature), along the simplex: the mean taken off."""
    rise = (payoffs @ mixed.flip(0).unsqueeze(2)).squeeze(2) - temperature * mixed.log()
    return rise - rise.mean(1, keepdim=True)


def sampled(
    payoffs: Tensor, logits: Tensor, temperature: float, batch: int, random: torch.Generator
) -> Tensor:
    """An unbiased estimate of the summed squares of the slopes, in one game or in several: the inner product of two
    independent estimates of the slopes, each from ``batch`` actions of the other player."""
    mixed, actions = logits.softmax(-1), logits.shape[-1]
    seen = torch.randint(actions, (2, *logits.shape[:-1], batch), generator=random)
    weights = actions * mixed.flip(-2).expand(2, *mixed.shape).gather(-1, seen)
    wide = seen.unsqueeze(-2).expand(*seen.shape[:-1], actions, batch)
    columns = payoffs.expand(2, *payoffs.shape).gather(-1, wide)
    rise = (columns * weights.unsqueeze(-2)).mean(-1) - temperature * mixed.log()
    off = rise - rise.mean(-1, keepdim=True)
    return (off[0] * off[1]).sum()


@problem
def equilibrium(actions: int = 3, seed: int = 0, temperature: float = 0.0, batch: int = 1) -> Problem:
    """f(x) = Σₖ ‖Π ∇ₖ(uₖ + τ Hₖ)‖² in a game of two players, whose strategies are the softmax of the logits x; Π takes
    off the mean. It is 0 where no player gains by moving (interior points only).

    A draw is the inner product of two independent estimates of the slopes, each from ``batch`` of the other player's
    actions, drawn uniformly and weighted by their probability.

    Source: "Approximating Nash Equilibria in Normal-Form Games via Stochastic Optimization", Ian Gemp, Luke Marris,
    Georgios Piliouras, 2024.
    """
    payoffs, best, _ = matrices(actions, seed, temperature)

    def loss(x: Tensor) -> Tensor:
        return slopes(payoffs, x.view(2, actions).softmax(1), temperature).square().sum()

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        return sampled(payoffs, x.view(2, actions), temperature, batch, random)

    start = torch.zeros(2 * actions, dtype=torch.float64)
    return Problem(
        f"equilibrium of {actions} x {actions} actions", loss, start, 0.0, best.flatten(), draw=draw,
        noise=f"{batch} of the other player's actions, twice",
        symmetries={"adding 1 to all logits": lambda x: x + 1},
    )  # fmt: skip
