"""Every paper that piste promises to cover is named, by its exact title, by something that `piste list` shows."""

from __future__ import annotations

import pytest

from piste.cli.registered import everything

PRECONDITIONERS = (
    "4-bit Shampoo for Memory-Efficient Network Training",
    "A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer for Training Neural "
    "Networks At-Scale",
    "A Unified Perspective on Orthogonalization and Diagonalization",
    "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning",
    "ASGO: Adaptive Structured Gradient Optimization",
    "AdaFisher: Adaptive Second Order Optimization via Fisher Information",
    "Adaptive Preconditioned Gradient Descent with Energy",
    "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners",
    "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate",
    "Discriminative Bayesian filtering lends momentum to the stochastic Newton method for minimizing log-convex "
    "functions",
    "Doubly Adaptive Scaled Algorithm for Machine Learning Using Second-Order Information",
    "Error Feedback Can Accurately Compress Preconditioners",
    "FOSI: Hybrid First and Second Order Optimization",
    "Local convergence of the Levenberg-Marquardt method under Hölder metric subregularity",
    "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information",
    "MARS-M: When Variance Reduction Meets Matrices",
    "MARS: Unleashing the Power of Variance Reduction for Training Large Models",
    "Old Optimizer, New Norm: An Anthology",
    "On the Parameterization of Second-Order Optimization Effective Towards the Infinite Width",
    "Polynomial Preconditioning for Gradient Methods",
    "SOAP: Improving and Stabilizing Shampoo using Adam",
    "Scalable Second Order Optimization for Deep Learning",
    "Shampoo: Preconditioned Stochastic Tensor Optimization",
    "Stochastic Gradient Descent with Preconditioned Polyak Step-size",
    "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing",
    "Training Neural Networks in Single vs Double Precision",
    "Turbo-Muon: Accelerating Orthogonality-Based Optimization with Pre-Conditioning",
    "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region Optimization",
)


@pytest.fixture(scope="module")
def papers():
    return {title for entry in everything() for title in entry.paper}


@pytest.mark.parametrize("title", PRECONDITIONERS)
def test_a_paper_is_covered(papers, title):
    assert title in papers
