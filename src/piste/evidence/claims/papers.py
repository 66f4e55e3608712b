"""Titles of papers of which several files speak: counted once, they must be written once."""

from __future__ import annotations

HANDBOOK = "Handbook of Convergence Theorems for (Stochastic) Gradient Methods"
OLD_NEW = "Old Optimizer, New Norm: An Anthology"
ADAM = "Adam: A Method for Stochastic Optimization"
FREE = "The Road Less Scheduled"
PERCEPTRON = (
    "From Logistic Regression to the Perceptron Algorithm: Exploring Gradient Descent with Large Step Sizes"
)
STABILITY = "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability"
NOISY_STABILITY = "The Implicit Regularization of Dynamical Stability in Stochastic Gradient Descent"
