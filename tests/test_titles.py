"""Every paper that piste promises to cover is named, by its exact title, by something that `piste list` shows."""

from __future__ import annotations

import pytest

from piste.cli.registered import everything
from piste.evidence import claims

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

AVERAGES_AND_SCHEDULES = (
    "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods",
    "Analyzing and Improving the Training Dynamics of Diffusion Models",
    "Averaging Weights Leads to Wider Optima and Better Generalization",
    "Butterfly Effects of SGD Noise: Error Amplification in Behavior Cloning and Autoregression",
    "Continual Pre-Training of Large Language Models: How to (re)warm your model?",
    "DaWin: Training-free Dynamic Weight Interpolation for Robust Adaptation",
    "Deep Combinatorial Aggregation",
    "Diverse Weight Averaging for Out-of-Distribution Generalization",
    "Fusing finetuned models for better pretraining",
    "Git Re-Basin: Merging Models modulo Permutation Symmetries",
    "Learning Rate Schedules in the Presence of Distribution Shift",
    "Learning Rates as a Function of Batch Size: A Random Matrix Theory Approach to Neural Network Training",
    "Model Merging by Uncertainty-Based Gradient Matching",
    "Model Stock: All we need is just a few fine-tuned models",
    "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing "
    "inference time",
    "Navigating Scaling Laws: Accelerating Vision Transformer's Training via Adaptive Strategies",
    "Predictable Scale: Part I -- Optimal Hyperparameter Scaling Law in Large Language Model Pretraining",
    "SGDR: Stochastic Gradient Descent with Warm Restarts",
    "SWAMP: Sparse Weight Averaging with Multiple Particles for Iterative Magnitude Pruning",
    "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
    "Sparse Model Soups: A Recipe for Improved Pruning via Model Averaging",
    "Spurious Feature Diversification Improves Out-of-distribution Generalization",
    "Stepsize anything: A unified learning rate schedule for budgeted-iteration training",
    "Stop Wasting My Time! Saving Days of ImageNet and BERT Training with Latest Weight Averaging",
    "Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works Best for LLMs",
    "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    "Switch EMA: A Free Lunch for Better Flatness and Sharpness",
    "The Road Less Scheduled",
    "Weight Averaging Improves Knowledge Distillation under Domain Shift",
    "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement",
)

# what it says is how others' numbers change with the width: one claim holds it
SCALES = "On the Parameterization of Second-Order Optimization Effective Towards the Infinite Width"


@pytest.fixture(scope="module")
def papers():
    return {title for entry in everything() for title in entry.paper}


@pytest.mark.parametrize("title", PRECONDITIONERS + AVERAGES_AND_SCHEDULES)
def test_a_paper_is_covered(papers, title):
    assert title in papers


@pytest.mark.parametrize("title", sorted({*PRECONDITIONERS, *AVERAGES_AND_SCHEDULES} - {SCALES}))
def test_a_paper_has_two_claims_or_more(title):
    everything()
    assert sum(c.paper == title for c in claims()) >= 2
