"""Titles of papers of which several files speak: counted once, they must be written once."""

from __future__ import annotations

HANDBOOK = "Handbook of Convergence Theorems for (Stochastic) Gradient Methods"
OLD_NEW = "Old Optimizer, New Norm: An Anthology"
ADAM = "Adam: A Method for Stochastic Optimization"
FREE = "The Road Less Scheduled"
LAMB = "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes"
RMSPROP = "Lecture 6.5 - rmsprop: Divide the gradient by a running average of its recent magnitude"
SAM = "Sharpness-Aware Minimization for Efficiently Improving Generalization"
SHAMPOO = "Shampoo: Preconditioned Stochastic Tensor Optimization"
SOAP = "SOAP: Improving and Stabilizing Shampoo using Adam"
LBFGS = "On the limited memory BFGS method for large scale optimization"
MUON = "Muon: An optimizer for hidden layers in neural networks"
ADAGRAD = "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"
BUBECK = "Convex Optimization: Algorithms and Complexity"
NESTEROV = "Introductory Lectures on Convex Optimization: A Basic Course"
PERCEPTRON = (
    "From Logistic Regression to the Perceptron Algorithm: Exploring Gradient Descent with Large Step Sizes"
)
STABILITY = "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability"
NOISY_STABILITY = "The Implicit Regularization of Dynamical Stability in Stochastic Gradient Descent"
HUTCHINSON = "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines"
ADAHESSIAN = "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning"
SOPHIA = "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training"
OASIS = "Doubly Adaptive Scaled Algorithm for Machine Learning Using Second-Order Information"
ROOT_NEWTON = "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate"
POLYNOMIAL = "Polynomial Preconditioning for Gradient Methods"
FOSI = "FOSI: Hybrid First and Second Order Optimization"
MARQUARDT = "Local convergence of the Levenberg-Marquardt method under Hölder metric subregularity"
FILTERED = (
    "Discriminative Bayesian filtering lends momentum to the stochastic Newton method for minimizing log-convex "
    "functions"
)
