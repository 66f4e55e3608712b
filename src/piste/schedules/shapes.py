"""Ways to fall from 1 at 0 to 0 at 1."""

from __future__ import annotations

import math


def between(start: float, end: float, weight: float) -> float:
    """``start`` at weight 1 and ``end`` at 0, both to the last bit."""
    return start * weight + end * (1 - weight)


def part(t: float, steps: float) -> float:
    """The share of the steps that has passed, from 0 to 1."""
    return min(max(t / steps, 0.0), 1.0)


def straight(x: float) -> float:
    """1 - x."""
    return 1 - x


def half_cosine(x: float) -> float:
    """(1 + cos πx) / 2."""
    return (1 + math.cos(math.pi * x)) / 2


def one_minus_sqrt(x: float) -> float:
    """1 - √x, the cooldown that Hägele et al. (see :func:`wsd`) found best."""
    return 1 - math.sqrt(x)


def mirrored_cosine(x: float) -> float:
    """2(1 - x) - (1 + cos πx)/2: slow where :func:`half_cosine` is fast."""
    return 2 * straight(x) - half_cosine(x)


def one_minus_square(x: float) -> float:
    """1 - x²."""
    return 1 - x * x
