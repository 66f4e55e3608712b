"""Every paper that piste promises to cover is named, by its exact title, by something that `piste list` shows."""

from __future__ import annotations

from collections import Counter

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

RULES = (
    "ADOPT: Modified Adam Can Converge with Any β_2 with the Optimal Rate",
    "ANO : Faster is Better in Noisy Landscape",
    "Accelerated Parameter-Free Stochastic Optimization",
    "Accelerated Stochastic Optimization Methods under Quasar-convexity",
    "Adam: A Method for Stochastic Optimization",
    "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights",
    "An Optimistic Acceleration of AMSGrad for Nonconvex Optimization",
    "Decoupled Weight Decay Regularization",
    "EXAdam: The Power of Adaptive Cross-Moments",
    "Generalized-Smooth Nonconvex Optimization is As Efficient As Smooth Nonconvex Optimization",
    "Gradient Clipping Improves AdaGrad when the Noise Is Heavy-Tailed",
    "Grams: Gradient Descent with Adaptive Momentum Scaling",
    "Gravity Optimizer: a Kinematic Approach on Optimization in Deep Learning",
    "Grokking at the Edge of Numerical Stability",
    "High-Probability Bounds for Stochastic Optimization and Variational Inequalities: the Case of Unbounded "
    "Variance",
    "Improving Stability of Fine-Tuning Pretrained Language Models via Component-Wise Gradient Norm Clipping",
    "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts",
    "NAG-GS: Semi-Implicit, Accelerated and Robust Stochastic Optimizer",
    "On the Convergence of Adam and Beyond",
    "Optimal Stochastic Non-smooth Non-convex Optimization through Online-to-Non-convex Conversion",
    "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex Optimization",
    "Random Scaling and Momentum for Non-smooth Non-convex Optimization",
    "Rethinking Adam: A Twofold Exponential Moving Average Approach",
    "Revisiting Gradient Clipping: Stochastic bias and tight convergence guarantees",
    "SGD with Clipping is Secretly Estimating the Median Gradient",
    "Stochastic model-based minimization of weakly convex functions",
    "Symbolic Discovery of Optimization Algorithms",
    "The AdEMAMix Optimizer: Better, Faster, Older",
    "diffGrad: An Optimization Method for Convolutional Neural Networks",
)

MEMORY = (
    "8-bit Optimizers via Block-wise Quantization",
    "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
    "BAdam: A Memory Efficient Full Parameter Training Method for Large Language Models",
    "Chain of LoRA: Efficient Fine-tuning of Language Models via Residual Learning",
    "Defeating the Training-Inference Mismatch via FP16",
    "Dimensionality Reduced Training by Pruning and Freezing Parts of a Deep Neural Network, a Survey",
    "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training "
    "with Convergence Guarantees",
    "Few-Bit Backward: Quantized Gradients of Activation Functions for Memory Footprint Reduction",
    "FreezeNet: Full Performance by Reduced Storage Costs",
    "Grass: Compute Efficient Low-Memory LLM Training with Structured Sparse Gradients",
    "Memory-Efficient LLM Training with Online Subspace Descent",
    "MicroAdam: Accurate Adaptive Optimization with Low Space Overhead and Provable Convergence",
    "SaRA: High-Efficient Diffusion Model Fine-tuning with Progressive Sparse Low-Rank Adaptation",
    "Training LLMs with MXFP4",
)

# what it says is how others' numbers change with the width: one claim holds it
SCALES = "On the Parameterization of Second-Order Optimization Effective Towards the Infinite Width"

ALL = (*PRECONDITIONERS, *AVERAGES_AND_SCHEDULES, *RULES, *MEMORY)


@pytest.fixture(scope="module")
def papers():
    return {title for entry in everything() for title in entry.paper}


@pytest.mark.parametrize("title", ALL)
def test_a_paper_is_covered(papers, title):
    assert title in papers


@pytest.mark.parametrize("title", sorted({*ALL} - {SCALES}))
def test_a_paper_has_two_claims_or_more(title):
    everything()
    assert sum(c.paper == title for c in claims()) >= 2


def test_every_optimizer_has_two_claims_of_its_own() -> None:
    counts = Counter(c.method for c in claims([]))
    ours = [e.name for e in everything("optimizer") if e.module.startswith("piste.")]  # tests have some, too
    few = {name: counts[name] for name in ours if counts[name] < 2}
    assert not few, f"say of each what its paper says: {few}"
