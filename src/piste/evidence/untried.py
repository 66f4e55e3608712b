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
        "Fantastic Pretraining Optimizers and Where to Find Them",
        "The speed-up of matrix-based methods over AdamW falls from 1.4 at 0.1B parameters to 1.1 at 1.2B.",
        "It takes tuned trainings of models with hundreds of millions of parameters; piste tries the rules of "
        "comparison that the paper draws from them.",
    ),
    Untried(
        "Vote'n'Rank: Revision of Benchmarking with Social Choice Theory",
        "Other rules than the mean choose other winners on the GLUE, SuperGLUE and VALUE leaderboards.",
        "The leaderboards' scores must be downloaded; piste tries the rules on tables that are drawn.",
    ),
    Untried(
        "On the Importance of Gradient Norm in PAC-Bayesian Bounds",
        "The norm of the loss's gradient tracks the gap between training and test error over architectures.",
        "A correlation over architectures takes dozens of them, each tuned and trained to its end; over nets that "
        "train in seconds the gap is within its noise.",
    ),
    Untried(
        "Algorithmic Stability of Heavy-Tailed SGD with General Loss Functions",
        "The generalization gap is not monotone in the tail index of the noise.",
        "Where it would turn, near the tail index 1, the error of a mean over N runs falls as N^(1/α - 1): no "
        "number of runs that fits here settles it.",
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
        "The bounds on new data are of orders, not of numbers: what is tried is the inequality and the path's length.",
    ),
)
