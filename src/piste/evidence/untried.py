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
        "CoLiDE: Concomitant Linear DAG Estimation",
        "On graphs of hundreds of nodes, with another noise variance at every node, it makes fewer errors than the "
        "methods before it.",
        "Too large for a claim, which has a minute at most; those here stay at 6 nodes and one variance.",
    ),
    Untried(
        "Supervised Dictionary Learning with Auxiliary Covariates",
        "Supervised dictionaries classify rare documents and chest X-ray images better than separate steps.",
        "The documents and images must be downloaded; both convergence theorems are tried on random data.",
    ),
    Untried(
        "Approximating Nash Equilibria in Normal-Form Games via Stochastic Optimization",
        "On large games of many players stochastic gradients on the loss outperform the best methods before it.",
        "The games come from collections that must be installed, and the methods before it would have to be written; "
        "the loss is tried on small games of two players.",
    ),
    Untried(
        "Proper Laplacian Representation Learning",
        "Neural networks learn the eigenvectors from the pixels or positions of a walk through mazes.",
        "Training networks in mazes is too long for a claim; the dynamics are tried on the vectors themselves.",
    ),
)
