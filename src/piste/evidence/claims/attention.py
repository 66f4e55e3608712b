"""Attention that is trained by gradient descent is a support vector machine over tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from .paths import cosine, follow, normal, widest_margin
from .wrong import instead, scaled

ATTENTION = "Transformers as Support Vector Machines"
INPUTS, TOKENS, SIZE = 3, 4, 5


def _task(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of several tokens, a query for each, and the scores that a fixed head gives the tokens: 1 for the first, 0
    for all others. Heads, queries and what tokens have beside the head's direction are of length 1."""
    x, z, head = normal(seed, INPUTS, TOKENS, SIZE), normal(seed + 1, INPUTS, SIZE), normal(seed + 2, SIZE)
    head, z = head / head.norm(), z / z.norm(dim=1, keepdim=True)
    x = torch.nn.functional.normalize(x - (x @ head).unsqueeze(2) * head, dim=2)
    x[:, 0] += head
    return x, z, torch.eye(TOKENS, dtype=torch.float64)[0]


def _slope(task: tuple[Tensor, Tensor, Tensor], w: Tensor) -> Tensor:
    """The gradient in W of the mean logistic loss of γᵀ softmax(X W z)."""
    x, z, scores = task
    chosen = torch.softmax((x @ w @ z.unsqueeze(2)).squeeze(2), 1)
    out = (chosen * scores).sum(1, keepdim=True)
    others = torch.sigmoid(-out) * chosen[:, 1:] * out / INPUTS
    back = torch.cat(
        [-others.sum(1, keepdim=True), others], 1
    )  # the first as 1 - out would be lost to rounding
    return torch.einsum("it,itd,ie->de", back, x, z)


def _differences(task: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """A row for every token but the first: ⟨row, W⟩ says by how much W prefers the first."""
    x, z, _ = task
    ahead = x[:, :1] - x[:, 1:]
    return torch.einsum("itd,ie->itde", ahead, z).reshape(-1, SIZE * SIZE)


def _one(method: Any, task: tuple[Tensor, Tensor, Tensor], steps: int) -> Tensor:
    """W after steps on gradients of length 1."""

    def slopes(p: list[Tensor]) -> list[Tensor]:
        g = _slope(task, p[0])
        return [g / g.norm()]

    return follow(method, [torch.zeros(SIZE, SIZE, dtype=torch.float64)], slopes, steps, lr=0.1)[0]


@claim(
    "SGD",
    ATTENTION,
    kind="empirical",
    predicts=at_least(0.97),
    tolerance=0.0,
    wrong=instead("Lion"),
    seeds=4,
    scale="3 inputs of 4 tokens of 5 numbers, a fixed head, 800 steps on gradients of length 1",
)
def attention_weights_go_to_the_widest_margin_over_tokens(method: Any, seed: int) -> float:
    """Gradient descent on the combined weights W of softmax attention goes, in direction, to the W of least Frobenius
    norm that keeps the best token of every input ahead of all others by 1.

    The cosine of both at the end.
    """
    task = _task(seed)
    return cosine(_one(method, task, 800).flatten(), widest_margin(_differences(task)))


@claim(
    "SGD",
    ATTENTION,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-4),
    seeds=4,
    in_mean=False,
    scale="3 inputs of 4 tokens of 5 numbers, a fixed head, 800 steps on gradients of length 1",
)
def keys_and_queries_prefer_a_small_nuclear_norm(method: Any, seed: int) -> float:
    """Training keys K and queries Q in place of W = K Qᵀ prefers margins of small nuclear norm instead of small
    Frobenius norm.

    The larger of two ratios: of the nuclear norms per margin, K Qᵀ to W, and of the Frobenius norms per margin, W to
    K Qᵀ; K and Q start as Gaussian numbers times 0.05.
    """
    task = _task(seed)
    rows = _differences(task)

    def slopes(p: list[Tensor]) -> list[Tensor]:
        g = _slope(task, p[0] @ p[1].mT)
        found = [g @ p[1], g.mT @ p[0]]
        length = (found[0].square().sum() + found[1].square().sum()).sqrt()
        return [f / length for f in found]

    start = [0.05 * normal(seed + k, SIZE, SIZE) for k in (3, 4)]
    k, q = follow(method, start, slopes, 800, lr=0.02)
    both = [(k @ q.mT), _one(instead("SGD"), task, 800)]
    margins = [(rows @ w.flatten()).min() for w in both]
    if not min(margins) > 0:
        return torch.inf
    nuclear, plain = ([float(torch.linalg.matrix_norm(w, p) / m) for w, m in zip(both, margins, strict=True)]
                      for p in ("nuc", "fro"))  # fmt: skip
    return max(nuclear[0] / nuclear[1], plain[1] / plain[0])
