"""What papers claim and two cores cannot settle: each with the reason, so that nobody takes silence for a verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Untried:
    """A statement of a paper for which there is no claim, and why."""

    paper: str
    statement: str
    reason: str


UNTRIED = (
    Untried(
        "Tabular Benchmarks for Joint Architecture and Hyperparameter Optimization",
        "Tables of trained networks over a grid of hyperparameters are cheap test problems for searches.",
        "The tables must be downloaded; piste's own searches are measured on curves that are made here.",
    ),
    Untried(
        "On the Importance of Gradient Norm in PAC-Bayesian Bounds",
        "Bounds on generalization whose complexity is an expected norm of the loss's gradient, for unbounded losses.",
        "It speaks of how tight a bound is for trained classifiers, not of a method: on models small enough for two "
        "cores the bound is met by wide margins whatever is trained, so that a claim of it could not fail.",
    ),
)
