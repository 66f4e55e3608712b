"""Which shape of a model learns most for the next unit of compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from .._registry import register


class ShapeLaw(NamedTuple):
    """E(C) = a (C + d)^(-b) + c: the error of one shape (a patch size, a width) at compute C."""

    a: float
    b: float
    c: float = 0.0
    d: float = 0.0

    def error(self, compute: float) -> float:
        return self.a * (compute + self.d) ** -self.b + self.c

    def compute(self, error: float) -> float:
        """Where the shape reaches this error; infinite at and below c."""
        return ((error - self.c) / self.a) ** (-1 / self.b) - self.d if error > self.c else math.inf

    def cost(self, error: float) -> float:
        """-dC/dE: compute for each unit of error less, at this error."""
        if error <= self.c:
            return math.inf
        return ((error - self.c) / self.a) ** (-1 / self.b - 1) / (self.a * self.b)


def best_shape(laws: Mapping[str, ShapeLaw], error: float) -> str:
    """The shape whose error falls furthest for the next bit of compute, at this error: change to it when it changes.

        P*(E) = argmax_P ∂C_P/∂E    (all are negative: the one nearest 0)

    Following it from error to error takes no more compute than any one shape. Errors are noisy: give a smoothed one,
    and do not go back. Changing a vision transformer's patch size resizes its patch and position embeddings; a width
    grows.

    Errors: ValueError where no shape can reach this error.

    Reference: "Navigating Scaling Laws: Accelerating Vision Transformer's Training via Adaptive Strategies", Sotiris
    Anagnostidis, Gregor Bachmann, Imanol Schlag, Thomas Hofmann, 2023, https://arxiv.org/abs/2311.03233
    """
    costs = {name: law.cost(error) for name, law in laws.items()}
    best = min(costs, key=lambda name: costs[name])
    if math.isinf(costs[best]):
        raise ValueError(f"best_shape: no shape gets to an error of {error:g}: all laws end above it")
    return best


register("rate", "best_shape", best_shape)
