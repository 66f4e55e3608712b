"""Attention that is trained by gradient descent is a support vector machine over tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from .paths import cosine, follow, normal, widest_margin
from .wrong import instead, scaled

ATTENTION = "Transformers as Support Vector Machines"
RUNS, INPUTS, TOKENS, SIZE = 10, 3, 4, 5
Task = tuple[Tensor, Tensor]


def _tasks(seed: int) -> Task:
    """Several tasks side by side: inputs of some tokens, and a query for each. A fixed head gives the first token of
    every input the score 1 and all others 0. Heads, queries and what tokens have beside the head's direction are of
    length 1."""
    x, z = normal(seed, RUNS, INPUTS, TOKENS, SIZE), normal(seed + 1, RUNS, INPUTS, SIZE)
    head = torch.nn.functional.normalize(normal(seed + 2, RUNS, 1, 1, SIZE), dim=3)
    x = torch.nn.functional.normalize(x - (x * head).sum(3, keepdim=True) * head, dim=3)
    x[:, :, :1] += head
    return x, torch.nn.functional.normalize(z, dim=2)


def _slope(task: Task, w: Tensor) -> Tensor:
    """The gradient in W of the mean logistic loss of γᵀ softmax(X W z), γ the scores."""
    x, z = task
    chosen = torch.softmax((x @ (z @ w.mT).unsqueeze(3)).squeeze(3), 2)
    out = chosen[:, :, :1]
    others = torch.sigmoid(-out) * chosen[:, :, 1:] * out / INPUTS
    back = torch.cat(
        [-others.sum(2, keepdim=True), others], 2
    )  # the first as 1 - out would be lost to rounding
    return (back.unsqueeze(2) @ x).squeeze(2).mT @ z


def _differences(task: Task) -> Tensor:
    """A row for every token but the first: ⟨row, W⟩ says by how much W prefers the first."""
    x, z = task
    ahead = x[:, :, :1] - x[:, :, 1:]
    return torch.einsum("ritd,rie->ritde", ahead, z).reshape(RUNS, -1, SIZE * SIZE)


def _unit(*slopes: Tensor) -> list[Tensor]:
    """Gradients, their length over all parameters of a task made 1."""
    length = sum(s.square().sum((1, 2), keepdim=True) for s in slopes)
    return [s / torch.as_tensor(length).sqrt() for s in slopes]


def _one(method: Any, task: Task) -> Tensor:
    """W after steps on gradients of length 1."""
    start = torch.zeros(RUNS, SIZE, SIZE, dtype=torch.float64)
    return follow(method, [start], lambda p: _unit(_slope(task, p[0])), 600, lr=0.1)[0]


@claim(
    "SGD",
    ATTENTION,
    kind="empirical",
    predicts=at_least(0.97),
    tolerance=0.0,
    wrong=instead("Lion"),
    seeds=3,
    in_mean=False,
    scale="10 tasks a seed: 3 inputs of 4 tokens of 5 numbers, a fixed head; 600 steps on gradients of length 1",
)
def attention_weights_go_to_the_widest_margin_over_tokens(method: Any, seed: int) -> float:
    """Gradient descent on the combined weights W of softmax attention goes, in direction, to the W of least Frobenius
    norm that keeps the best token of every input ahead of all others by 1.

    The cosine of both at the end, the least of 10 tasks.
    """
    task = _tasks(seed)
    ends = _one(method, task).flatten(1)
    return min(cosine(w, widest_margin(rows)) for w, rows in zip(ends, _differences(task), strict=True))


@claim(
    "SGD",
    ATTENTION,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-4),
    seeds=5,
    scale="10 tasks a seed: 3 inputs of 4 tokens of 5 numbers, a fixed head; 800 steps on gradients of length 1",
)
def keys_and_queries_prefer_a_small_nuclear_norm(method: Any, seed: int) -> float:
    """Training keys K and queries Q in place of W = K Qᵀ prefers margins of small nuclear norm instead of small
    Frobenius norm.

    The larger of two ratios: of the nuclear norms per margin, K Qᵀ to W, and of the Frobenius norms per margin, W to
    K Qᵀ; the mean over 10 tasks. K and Q start as Gaussian numbers times 0.05;
    W takes 600 steps.
    """
    task = _tasks(seed)

    def slopes(p: list[Tensor]) -> list[Tensor]:
        g = _slope(task, p[0] @ p[1].mT)
        return _unit(g @ p[1], g.mT @ p[0])

    start = [0.05 * normal(seed + k, RUNS, SIZE, SIZE) for k in (3, 4)]
    k, q = follow(method, start, slopes, 800, lr=0.02)
    both = torch.stack([k @ q.mT, _one(instead("SGD"), task)])
    margins = (_differences(task) @ both.flatten(2).unsqueeze(3)).squeeze(3).amin(2)
    if not bool((margins > 0).all()):
        return torch.inf
    nuclear, plain = (torch.linalg.matrix_norm(both, norm) / margins for norm in ("nuc", "fro"))
    return float(torch.maximum(nuclear[0] / nuclear[1], plain[1] / plain[0]).mean())
