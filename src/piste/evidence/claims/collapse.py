"""Neural collapse: where the features of the last layer end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim
from .paths import follow, normal
from .wrong import told

COLLAPSE = "Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data"
DECAY = 0.01  # of every layer and of the features


def _features(method: Any, seed: int, sizes: Sequence[int], layers: int, steps: int) -> Tensor:
    """The features H, one column an example, at the end of 1/2N ‖W_M … W₁H - Y‖² + λ/2 (Σ ‖W‖² + ‖H‖²), Y one-hot and
    every width 6."""
    count, classes = sum(sizes), len(sizes)
    goal = torch.eye(classes, dtype=torch.float64).repeat_interleave(torch.tensor(list(sizes)), 1)
    widths = [6] * layers + [classes]
    start = [0.3 * normal(seed, 6, count)]
    start += [normal(seed + k, widths[k], 6) / 6**0.5 for k in range(1, layers + 1)]

    def slopes(p: list[Tensor]) -> list[Tensor]:
        seen = [p[0]]
        for w in p[1:]:
            seen.append(w @ seen[-1])
        back, found = (seen[-1] - goal) / count, list[Tensor]()
        for w, before in zip(reversed(p[1:]), reversed(seen[:-1]), strict=True):
            found.append(back @ before.mT + DECAY * w)
            back = w.mT @ back
        return [back + DECAY * p[0], *reversed(found)]

    return follow(method, start, slopes, steps, lr=0.5, momentum=0.9)[0]


def _means(h: Tensor, sizes: Sequence[int]) -> Tensor:
    return torch.stack([part.mean(1) for part in h.split(list(sizes), 1)], 1)


def _scatter(h: Tensor, sizes: Sequence[int]) -> float:
    """Squared distance from the own class mean, as a share of all."""
    means = _means(h, sizes).repeat_interleave(torch.tensor(list(sizes)), 1)
    return float((h - means).square().sum() / h.square().sum())


def _length(size: int, count: int, layers: int) -> float:
    """The squared length of the mean of a class of that size, at the best point: with q = λ‖w‖² = λ size ‖h‖² in every
    factor of the class's own direction, the largest root of what is left, size/2N (p - 1)² + (layers + 1) q/2 with
    p = √(q^{layers + 1} / (λ^{layers + 1} size)), by bisection."""

    def uphill(q: float) -> bool:
        p = (q / DECAY) ** ((layers + 1) / 2) / math.sqrt(size)
        return size / count * (1 - p) * p < q

    high = DECAY * size ** (1 / (layers + 1))
    low = 0.6 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if uphill(middle) else (middle, high)
    return low / (DECAY * size)


@claim(
    "SGD",
    COLLAPSE,
    kind="theorem",
    predicts=at_most(1e-3),
    tolerance=0.0,
    wrong=told("SGD", weight_decay=0.01),
    seeds=2,
)
def means_of_imbalanced_classes_are_orthogonal_with_lengths_by_size(method: Any, seed: int) -> float:
    """With free features, squared loss and decay, features of imbalanced classes end at their class means, which are
    orthogonal, with lengths that the size of the class says: n‖h‖⁴ = (1 - N λ/√n)² for one layer and one λ.

    The largest difference of the inner products of the means from this, for classes of 10, 6 and 3.
    """
    sizes = (10, 6, 3)
    h = _features(method, seed, sizes, 1, 700)
    means = _means(h, sizes)
    said = [(1 - sum(sizes) * DECAY / math.sqrt(n)) / math.sqrt(n) for n in sizes]
    off = means.mT @ means - torch.diag(torch.tensor(said, dtype=torch.float64))
    return max(float(off.abs().max()), _scatter(h, sizes))


@claim(
    "SGD",
    COLLAPSE,
    kind="theorem",
    predicts=at_most(1e-3),
    tolerance=0.0,
    wrong=told("SGD", weight_decay=0.01),
    seeds=2,
)
def features_below_two_linear_layers_collapse_to_an_orthogonal_frame(method: Any, seed: int) -> float:
    """Below several linear layers, too, features of balanced classes collapse to their means, which are orthogonal and
    of one length.

    The largest difference of the inner products of the means from those of the best orthogonal frame, and the scatter
    within classes as a share of all, for three classes of 6 below two layers.
    """
    sizes = (6, 6, 6)
    h = _features(method, seed, sizes, 2, 700)
    means = _means(h, sizes)
    off = means.mT @ means - _length(6, 18, 2) * torch.eye(3, dtype=torch.float64)
    return max(float(off.abs().max()), _scatter(h, sizes))
