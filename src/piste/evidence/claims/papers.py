"""Titles of papers of which several files speak: counted once, they must be written once."""

from __future__ import annotations

HANDBOOK = "Handbook of Convergence Theorems for (Stochastic) Gradient Methods"
OLD_NEW = "Old Optimizer, New Norm: An Anthology"
ADAM = "Adam: A Method for Stochastic Optimization"
FREE = "The Road Less Scheduled"
BUBECK = "Convex Optimization: Algorithms and Complexity"
