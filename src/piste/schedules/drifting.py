"""The rate for a target that moves."""

from __future__ import annotations

import functools
from typing import NamedTuple

from ._schedule import Clock, Steps, schedule


class Drift(NamedTuple):
    """Linear regression on a moving target: dimension, batch, variance of the noise, and how far the target moves."""

    dimension: int
    batch: int
    noise: float
    drift: Clock
    start: float

    def rate(self, error: float) -> float:
        return error / (error * (1 + (self.dimension + 1) / self.batch) + self.variance)

    @property
    def variance(self) -> float:
        return self.noise**2 * self.dimension / self.batch

    def after(self, error: float, t: int) -> float:
        """E‖θ - θ*‖² after a step, from what it was before."""
        eta, spread = self.rate(error), 1 + (self.dimension + 1) / self.batch
        return error * (1 - 2 * eta + eta**2 * spread) + eta**2 * self.variance + self.drift(t) ** 2


@functools.lru_cache(maxsize=64)
def _errors(problem: Drift) -> list[float]:
    """Those computed so far; longer with each question."""
    return [problem.start]


@schedule(
    noise_and_start_must_be_positive=lambda noise, start: noise > 0 and start > 0,
)
def drifting(t: int, dimension: Steps, batch: Steps, noise: float, drift: Clock, start: float) -> float:
    """The rate that keeps SGD nearest to a target of linear regression that moves while it learns.

        x ~ N(0, I_d),  y = xᵀθ*_t + σξ,   E‖θ*_(t+1) - θ*_t‖² = γ_t²,    v_t = E‖θ_t - θ*_t‖²
        η_t = v_t / (v_t (1 + (d+1)/B) + σ² d/B)
        v_(t+1) = v_t (1 - 2η_t + η_t² (1 + (d+1)/B)) + η_t² σ² d/B + γ_t²

    ``drift`` is γ as a function of the step, ``start`` v_0. Without drift the rate falls as 1/t, under a steady one it
    settles above 0, and where the target jumps it goes up again. v_(t+1) rises with v_t, so that the best rate of each
    step is the best for every horizon.

    Deviation: the paper solves the same problem in continuous time, for a stochastic differential equation; its
    formulas for convex and non-convex losses are not here (they could not be read). What is here is exact for steps.

    Reference: "Learning Rate Schedules in the Presence of Distribution Shift", Matthew Fahrbach, Adel Javanmard, Vahab
    Mirrokni, Pratik Worah, 2023, https://arxiv.org/abs/2303.15634
    """
    problem = Drift(dimension, batch, noise, drift, start)
    errors = _errors(problem)
    while len(errors) <= t:
        errors.append(problem.after(errors[-1], len(errors) - 1))
    return problem.rate(errors[t])
