"""Models merged as posteriors: by curvature, by Fisher matrices, and what is missed without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...merging.curvature import fisher, gradient_matching
from ...merging.linear import mixed, task_arithmetic
from ...merging.soups import fisher_diagonal
from ..claim import at_most, claim, equal
from .turned_digits import part

MATCHING = "Model Merging by Uncertainty-Based Gradient Matching"
FISHER = "Merging Models with Fisher-Weighted Averaging"
Mix = Callable[..., Tensor]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blind(
    tensors: Sequence[Tensor], base: Tensor, statistics: Any, base_statistics: Any, weights: Sequence[float],
    **more: Any,
) -> Tensor:  # fmt: skip
    """Task arithmetic, which sees no curvature."""
    return task_arithmetic(tensors, base, weights)


@claim(
    "gradient_matching",
    MATCHING,
    subject=gradient_matching,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=blind,
    seeds=3,
)
def matched_gradients_merge_quadratics_into_their_joint_minimizer(method: Mix, seed: int) -> float:
    """Where losses are quadratic and each was fine-tuned with the base's curvature as its prior, matching gradients
    gives the minimizer of the weighted sum of all of them and the prior.

    The distance to it over that of the base, the largest for 2 to 5 losses with diagonal Hessians, some of them flat,
    in 30 dimensions.
    """
    worst = 0.0
    for n in (2, 3, 4, 5):
        random = torch.Generator().manual_seed(10 * seed + n)
        h = torch.rand(n + 1, 30, generator=random, dtype=torch.float64).square() * 3
        h[1, :10], weights = 0.0, [0.5 + k / n for k in range(n)]
        lowest = torch.randn(n, 30, generator=random, dtype=torch.float64)
        base, prior = torch.randn(30, generator=random, dtype=torch.float64), h[0] + 0.1
        tuned = [(hk * low + prior * base) / (hk + prior) for hk, low in zip(h[1:], lowest, strict=True)]
        shares = torch.tensor(weights, dtype=torch.float64)[:, None] * h[1:]
        joint = ((shares * lowest).sum(0) + prior * base) / (shares.sum(0) + prior)
        found = method(tuned, base, list(h[1:]), h[0], weights, prior=0.1)
        worst = max(worst, float((found - joint).norm() / (base - joint).norm()))
    return worst


def averaged(tensors: Sequence[Tensor], base: Tensor, weights: Sequence[float]) -> Tensor:
    """The weighted mean of the models."""
    return mixed(tensors, weights) / sum(weights)


@claim(
    "task_arithmetic",
    MATCHING,
    subject=task_arithmetic,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=averaged,
    seeds=3,
)
def task_arithmetic_misses_the_joint_minimizer_by_the_mismatch_of_gradients(method: Mix, seed: int) -> float:
    """What task arithmetic misses of the minimizer of the sum of all losses and the prior is the weighted sum of what
    each loss's gradient changes from its own model to that minimizer, in the metric of the prior.

    The distance between the two sides over their length; three logistic regressions of 60 rows in 8 dimensions, weights
    0.5, 1 and 1.5.
    """
    x, truth, base = drawn(seed, 3, 60, 8), drawn(seed + 50, 3, 8, 1), drawn(seed + 90, 8)
    y = ((x @ truth)[..., 0] + drawn(seed + 70, 3, 60) > 0).double()
    metric = 0.5 + drawn(seed + 80, 8).square()

    def slope(k: int, w: Tensor) -> Tensor:
        return x[k].mT @ (torch.sigmoid(x[k] @ w) - y[k])

    def solved(shares: Sequence[float]) -> Tensor:
        w = base
        for _ in range(60):
            g, h = metric * (w - base), torch.diag(metric)
            for k, share in enumerate(shares):
                p = torch.sigmoid(x[k] @ w)
                g, h = g + share * slope(k, w), h + share * (x[k].mT * (p * (1 - p))) @ x[k]
            step = torch.linalg.solve(h, g)
            w = w - step / (1 + (step @ h @ step).sqrt())
        return w

    weights = [0.5, 1.0, 1.5]
    joint, alone = solved(weights), [solved([float(i == k) for i in range(3)]) for k in range(3)]
    missed = joint - method(alone, base, weights)
    mismatch = sum(s * (slope(k, alone[k]) - slope(k, joint)) for k, s in enumerate(weights)) / metric
    return float((missed - mismatch).norm() / mismatch.norm())


@claim(
    "gradient_matching",
    MATCHING,
    subject=gradient_matching,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=blind,
    seeds=6,
    cost="full",
    scale="softmax regressions of 650 weights on 150 digits each, turned by 0°, 40° and -40°",
)
def matched_gradients_come_nearer_to_joint_training(method: Mix, seed: int) -> float:
    """With diagonal Fisher matrices for Hessians, matching gradients comes nearer to training on all data at once than
    task arithmetic and Fisher averaging do.

    The loss on the data of all above the least one, over that of the better one of the two. Models are fine-tuned, with
    the base's Fisher matrix as their prior, from one of the first data.
    """
    weights, base, tuned, known, excess = joint_problem(seed)
    ours = method(tuned, base, known[1:], known[0], weights, prior=PRIOR)
    rivals = task_arithmetic(tuned, base, weights), fisher(tuned, known[1:], weights)
    return excess(ours) / min(excess(rival) for rival in rivals)


PRIOR = 1.0


@lru_cache(8)
def joint_problem(
    seed: int,
) -> tuple[list[float], Tensor, list[Tensor], list[Tensor], Callable[[Tensor], float]]:
    """Weights, base, fine-tuned models, Fisher diagonals (times rows) of base and models, and the joint excess."""
    rows = torch.randperm(1797, generator=torch.Generator().manual_seed(seed))[:450].view(3, 150)
    data = [
        tuple(t[r] for t in part(degrees, slice(None)))
        for degrees, r in zip((0.0, 40.0, -40.0), rows, strict=True)
    ]

    def loss(w: Tensor, k: int) -> Tensor:
        x, labels = data[k]
        z = x @ w[:640].view(10, 64).mT + w[640:]
        return torch.nn.functional.cross_entropy(z, labels, reduction="sum")

    def least(of: Callable[[Tensor], Tensor]) -> Tensor:
        w = torch.zeros(650, dtype=torch.float64, requires_grad=True)
        fit = torch.optim.LBFGS([w], max_iter=300, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            fit.zero_grad()
            value = of(w)
            value.backward()
            return value

        fit.step(closure)  # type: ignore[arg-type]
        return w.detach()

    def diagonal(w: Tensor, k: int) -> Tensor:
        net = torch.nn.Linear(64, 10, dtype=torch.float64)
        with torch.no_grad():
            net.weight.copy_(w[:640].view(10, 64))
            net.bias.copy_(w[640:])
        found = fisher_diagonal(net, [data[k][0]])
        return len(data[k][0]) * torch.cat([found["weight"].flatten(), found["bias"]])

    base = least(lambda w: loss(w, 0) + PRIOR / 2 * w.square().sum())
    before = diagonal(base, 0)

    def prior(w: Tensor) -> Tensor:
        return ((before + PRIOR) * (w - base).square()).sum() / 2

    tuned = [least(lambda w, k=k: loss(w, k) + prior(w)) for k in (1, 2)]

    def joint(w: Tensor) -> Tensor:
        return loss(w, 1) + loss(w, 2) + prior(w)

    floor = float(joint(least(joint)))
    known = [before, *(diagonal(w, k) for k, w in enumerate(tuned, 1))]
    return [1.0, 1.0], base, tuned, known, lambda w: float(joint(w)) - floor


def even(tensors: Sequence[Tensor], statistics: Any, weights: Sequence[float], **more: Any) -> Tensor:
    """The mean, whoever is sure."""
    return averaged(tensors, tensors[0], weights)


@claim(
    "fisher",
    FISHER,
    subject=fisher,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=even,
    seeds=3,
)
def fisher_averaging_maximizes_the_product_of_the_posteriors(method: Mix, seed: int) -> float:
    """If each model's posterior is a Gaussian whose precision is its diagonal Fisher matrix, the Fisher-weighted
    average is where the product of their powers λ is largest.

    The gradient of the log of the product there, over the sum of the lengths of its terms; 4 Gaussians in 30 dimensions
    with precisions from 0.01 to 10.
    """
    models, precisions = drawn(seed, 4, 30), 10 ** (1.5 * torch.tanh(drawn(seed + 50, 4, 30)) - 0.5)
    weights = [0.1, 0.2, 0.3, 0.4]
    found = method(list(models), list(precisions), weights, by_length=False)
    terms = [w * f * (found - m) for w, f, m in zip(weights, precisions, models, strict=True)]
    return float(sum(terms).norm() / sum(t.norm() for t in terms))  # type: ignore[union-attr]
