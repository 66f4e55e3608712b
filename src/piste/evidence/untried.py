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
        "A bound of generalization with the loss's gradient norm in it needs no bounded loss, and that norm follows "
        "the complexity of networks.",
        "The norm is compared across architectures of deep Bayesian networks, which no small problem tells apart.",
    ),
    Untried(
        "Algorithmic Stability of Heavy-Tailed SGD with General Loss Functions",
        "The generalization gap is not monotone in the tail index of the noise.",
        "On a quadratic it turns upwards near the tail index 1 only, where the error of a mean over N runs falls as "
        "N^(1/α - 1): no number of runs that fits here settles it.",
    ),
)
