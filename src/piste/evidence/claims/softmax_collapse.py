"""Softmax in floating point: when it collapses, what that costs, and StableMax in its place."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ...stablemax import softmax_collapse, stablemax_cross_entropy
from ..claim import at_least, at_most, claim, equal
from .grokking import EDGE, Loss, softmax


def _logits(seed: int) -> tuple[Tensor, Tensor]:
    """Of 400 samples, the right ones ahead by up to 8 or by at least 26, in float32; and the right ones."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (400,), generator=random)
    logits = torch.randn(400, 10, generator=random)
    ahead = 8 * torch.rand(400, 1, generator=random) + 26 * (torch.arange(400) % 2)[:, None]
    return logits.scatter(1, labels[:, None], logits.gather(1, labels[:, None]) + ahead), labels


@claim(
    "softmax_collapse",
    EDGE,
    subject=softmax,
    kind="identity",
    predicts=equal(0.0),
    tolerance=0.0,
    wrong=stablemax_cross_entropy,
    seeds=3,
)
def collapsed_samples_that_are_right_have_no_loss_and_no_gradient(method: Loss, seed: int) -> float:
    """Where softmax's sum is exactly 1 in floating point the loss of a sample that is right is exactly 0, and so is the
    gradient of its right logit; it no longer takes part in learning.

    The share of 400 samples, half of them collapsed in float32 and none on the edge of it, for which "collapsed" and
    "loss and gradient of the right logit are 0" differ.
    """
    logits, labels = _logits(seed)
    at = logits.clone().requires_grad_()
    each = torch.stack([method(at[i : i + 1], labels[i : i + 1]) for i in range(400)])
    (slope,) = torch.autograd.grad(each.sum(), at)
    dead = (each == 0) & (slope.gather(1, labels[:, None]).squeeze(1) == 0)
    return (
        sum(softmax_collapse(row) != float(gone) for row, gone in zip(logits[:, None], dead, strict=True))
        / 400
    )


@functools.cache
def _pairs(seed: int) -> tuple[Tensor, Tensor]:
    """All sums modulo 17 in random order: two one-hot numbers each, and the sum."""
    random = torch.Generator().manual_seed(seed)
    pairs = torch.cartesian_prod(torch.arange(17), torch.arange(17))[torch.randperm(289, generator=random)]
    return torch.nn.functional.one_hot(pairs, 17).flatten(1).float(), pairs.sum(1) % 17


def _train(loss: Loss, seed: int, steps: int, lr: float, known: int = 144) -> tuple[Tensor, Tensor]:
    """Logits, in float32, of all sums after full-batch steps of Adam without decay, on the first ``known`` of them, of
    a two-layer ReLU network of 64 units; and the sums."""
    random = torch.Generator().manual_seed(seed + 1)
    x, y = _pairs(seed)
    w = torch.nn.Parameter(torch.randn(34, 64, generator=random) / 34**0.5)
    v = torch.nn.Parameter(torch.randn(64, 17, generator=random) / 8)
    opt = torch.optim.Adam([w, v], lr=lr)
    for _ in range(steps):
        opt.zero_grad()
        loss((x[:known] @ w).clamp_min(0) @ v, y[:known]).backward()
        opt.step()
    return ((x @ w).clamp_min(0) @ v).detach(), y


@claim(
    "StableMax",
    EDGE,
    subject=stablemax_cross_entropy,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.0,
    wrong=softmax,
    in_mean=False,
    seeds=3,
    scale="sums modulo 17, half of them shown, two-layer ReLU networks of 64 units in float32, 600 full-batch steps of "
    "Adam at the rate 0.1, no decay",
)
def stablemax_training_loses_no_samples_to_collapse(method: Loss, seed: int) -> float:
    """Without decay training in float32 goes on to scale logits until softmax collapses; with StableMax the samples
    keep their loss.

    The share of shown samples whose loss is exactly 0 after training by it.
    """
    logits, y = _train(method, seed, 600, 0.1)
    each = torch.stack(
        [method(row, label) for row, label in zip(logits[:144, None], y[:144, None], strict=True)]
    )
    return float((each == 0).double().mean())


@claim(
    "StableMax",
    EDGE,
    subject=stablemax_cross_entropy,
    kind="empirical",
    predicts=at_least(0.9),
    tolerance=0.0,
    wrong=softmax,
    seeds=3,
    cost="full",
    scale="sums modulo 17, 80 % shown, two-layer ReLU networks of 64 units in float32, 4,000 full-batch steps of Adam, "
    "the best of 3 rates, no decay",
)
def stablemax_groks_without_decay(method: Loss, seed: int) -> float:
    """With StableMax networks generalize on modular sums without weight decay, where softmax collapses before.

    The share of the left-out fifth that is right at the end, at the best of the rates 0.01, 0.03, 0.1.
    """

    def right(lr: float) -> float:
        logits, y = _train(method, seed, 4000, lr, 231)
        return float((logits.argmax(1) == y)[231:].double().mean())

    return max(right(lr) for lr in (0.01, 0.03, 0.1))
