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
        "Towards a theory of learning dynamics in deep state space models",
        "With N latent states the time constant of learning is proportional to 1/N.",
        "It hangs on how weights are tied and where they start; with states that start alike only a logarithm of N is "
        "gained, so that piste tries the direction alone.",
    ),
    Untried(
        "Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data",
        "The last layers of image classifiers collapse as the model of free features says.",
        "Classifiers must be trained on images far beyond zero error, which takes GPU hours.",
    ),
    Untried(
        "A Dynamical Model of Neural Scaling Laws",
        "Steps should grow faster than parameters with the compute of networks on CIFAR-5M and Wikitext.",
        "The data must be downloaded and networks of many sizes trained on them.",
    ),
    Untried(
        "Neural Network-Based Score Estimation in Diffusion Models: Optimization and Generalization",
        "With early stopping gradient descent learns the score with an error that is bounded by sizes and samples.",
        "The bound is of orders, for networks much wider than their samples are many: one small experiment cannot "
        "refute it. The agreement with the kernel, on which it rests, is tried.",
    ),
    Untried(
        "From Optimization Dynamics to Generalization Bounds via Łojasiewicz Gradient Inequality",
        "The length of the path bounds the error on new data.",
        "The bounds on new data are of orders, not of numbers; the inequality and the path's length are tried.",
    ),
)
