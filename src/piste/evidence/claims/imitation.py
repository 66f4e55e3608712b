"""Imitation of a policy whose closed loop is barely stable: what noise in weights does to rollouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..._chain import Part
from ...transforms.averaging import ema_weights
from ..claim import at_least, at_most, claim
from .weight_averages import Rate, raw, walk

BUTTERFLY = "Butterfly Effects of SGD Noise: Error Amplification in Behavior Cloning and Autoregression"
STEPS, BATCH, RATE, NOISE, HORIZON = 1200, 8, 0.05, 0.3, 100
SCALE = (
    "linear policies for eight systems of 4 states, eigenvalues of modulus 1.1 without control and 0.98 with the "
    "expert's, 1,200 steps of SGD at the rate 0.05 on 8 noisy actions each, rollouts of 100 steps"
)


@dataclass(frozen=True)
class Tasks:
    """x ← (A + K)x, each of eight with an expert K*, whose actions K*x are seen with noise."""

    still: Tensor
    expert: Tensor

    def imitated(self, policies: Tensor) -> Tensor:
        """Half the expected squared error of one action, of policies [..., 8, 4, 4]; states are standard normal."""
        return ((policies - self.expert).square().sum((-2, -1)) + 4 * NOISE**2) / 2

    def rolled_out(self, policies: Tensor) -> Tensor:
        """The mean of ‖x‖² along a rollout of each policy, from a start of length 1."""
        loop = self.still + policies
        x, total = torch.eye(4, dtype=torch.float64).expand_as(loop), torch.zeros_like(loop[..., 0, 0])
        for _ in range(HORIZON):
            x = loop @ x
            total += x.square().sum((-2, -1)) / (4 * HORIZON)
        return total


@lru_cache(16)
def tasks(seed: int) -> Tasks:
    random = torch.Generator().manual_seed(seed)
    still, best = torch.linalg.qr(torch.randn(2, 8, 4, 4, generator=random, dtype=torch.float64))[0]
    return Tasks(1.1 * still, 0.98 * best - 1.1 * still)


def cloned(average: Part, seed: int, lr: float | Rate = RATE) -> tuple[Tensor, Tensor]:
    """Policies at every tenth of the last 600 steps of behavior cloning, and those that the average shows."""
    random, expert = torch.Generator().manual_seed(seed + 500), tasks(seed).expert

    def slope(t: int, policy: Tensor) -> Tensor:
        x, spots = torch.randn(2, 8, BATCH, 4, generator=random, dtype=torch.float64)
        return (x @ (policy - expert).mT - NOISE * spots).mT @ x / BATCH

    pairs = list(walk(average, slope, torch.zeros_like(expert), STEPS, lr, 10))[STEPS // 20 :]
    points, shown = (torch.stack(list(side)) for side in zip(*pairs, strict=True))
    return points, shown


def swing(costs: Tensor) -> Tensor:
    """The standard deviation over the run, relative to the mean, of each task."""
    return costs.std(0) / costs.mean(0)


def typical(ratios: Tensor) -> float:
    """The geometric mean over tasks."""
    return float(ratios.log().mean().exp())


@claim(
    "SGD", BUTTERFLY, subject=Tasks.rolled_out, kind="empirical", predicts=at_least(10.0), tolerance=0.0,
    wrong=Tasks.imitated, seeds=4, scale=SCALE,
)  # fmt: skip
def noise_that_imitation_hardly_feels_makes_rollouts_swing(
    method: Callable[[Tasks, Tensor], Tensor], seed: int
) -> float:
    """The noise of batches hardly moves the loss of imitating one action, and makes what the policy earns in a long
    rollout swing wildly from one step of training to the next: a loop near instability amplifies it.

    The relative standard deviation of the cost of rollouts over the last 600 steps, in units of that of the
    imitation loss. Ten times as much is taken for amplification.
    """
    policies, _ = cloned(raw(), seed)
    return typical(swing(method(tasks(seed), policies)) / swing(tasks(seed).imitated(policies)))


@claim(
    "ema_weights", BUTTERFLY, subject=ema_weights, kind="empirical", predicts=at_most(0.2), tolerance=0.0, wrong=raw,
    seeds=4, scale=SCALE,
)  # fmt: skip
def an_average_of_policies_does_not_swing(method: Callable[..., Part], seed: int) -> float:
    """An exponential average of the weights takes most of the swings of long rollouts away.

    The relative standard deviation of the cost of rollouts over the last 600 steps, of the average with β = 0.99
    over that of the policies themselves. A fifth is taken for most.
    """
    points, shown = cloned(method(0.99), seed)
    return typical(swing(tasks(seed).rolled_out(shown)) / swing(tasks(seed).rolled_out(points)))


@claim(
    "ema_weights", BUTTERFLY, subject=ema_weights, kind="empirical", predicts=at_most(1.1), tolerance=0.0, wrong=raw,
    seeds=4, scale=SCALE,
)  # fmt: skip
def an_average_of_policies_takes_the_place_of_decay(method: Callable[..., Part], seed: int) -> float:
    """With an average of the weights the rate need not be decayed: at a constant rate the averaged policy earns in long
    rollouts what the policy at the end of a decay does.

    The cost of rollouts of averages with β = 0.99 over the last 200 steps, relative to that of the last policy of a run
    whose rate falls linearly to 0. A tenth is left for the length of the average, which is not tuned.
    """
    (_, shown), (points, _) = (
        cloned(method(0.99), seed),
        cloned(raw(), seed, lambda t: RATE * (1 - t / STEPS)),
    )
    return typical(tasks(seed).rolled_out(shown[-20:]) / tasks(seed).rolled_out(points[-1]))
