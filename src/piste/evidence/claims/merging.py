"""Networks that are the same up to the order of their hidden units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal

REBASIN = "Git Re-Basin: Merging Models modulo Permutation Symmetries"
Network = tuple[Tensor, Tensor, Tensor, Tensor]  # hidden weights and biases, output weights and biases
Matching = Callable[[Network, Network], Network]


@lru_cache(1)
def digits() -> tuple[Tensor, Tensor]:
    """500 of scikit-learn's digits, 64 centered pixels each, and what they show."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = torch.tensor(pixels[:500], dtype=torch.float64) / 16
    return x - x.mean(0), torch.tensor(labels[:500])


def loss_of(net: Network) -> float:
    w, b, v, c = net
    x, labels = digits()
    return float(torch.nn.functional.cross_entropy((x @ w.mT + b).clamp_min(0) @ v.mT + c, labels))


def random_net(seed: int, width: int) -> Network:
    random = torch.Generator().manual_seed(seed)
    w = torch.randn(width, 64, generator=random, dtype=torch.float64) * (2 / 64) ** 0.5
    v = torch.randn(10, width, generator=random, dtype=torch.float64) / width**0.5
    return w, torch.zeros(width, dtype=torch.float64), v, torch.zeros(10, dtype=torch.float64)


def train(opt: Any, params: Sequence[torch.nn.Parameter], x: Tensor, shown: Tensor, steps: int) -> None:
    """Full-batch steps on the cross entropy of a network, its gradient written out."""
    for _ in range(steps):
        w, b, v, c = (p.detach() for p in params)
        before = x @ w.mT + b
        hidden = before.clamp_min(0)
        by_out = (torch.softmax(hidden @ v.mT + c, 1) - shown) / len(x)
        by_hidden = (by_out @ v) * (before > 0)
        slopes = (by_hidden.mT @ x, by_hidden.sum(0), by_out.mT @ hidden, by_out.sum(0))
        for p, slope in zip(params, slopes, strict=True):
            p.grad = slope
        opt.step()


@lru_cache(8)
def trained(seed: int, width: int) -> Network:
    """100 full-batch steps of Adam on the digits, the rate 0.02, from a random start."""
    x, labels = digits()
    params = [torch.nn.Parameter(p) for p in random_net(seed, width)]
    opt = get("Adam", "optimizer").target(params, lr=0.02)
    train(opt, params, x, torch.nn.functional.one_hot(labels, 10).double(), 100)
    w, b, v, c = (p.detach() for p in params)
    return w, b, v, c


def reordered(net: Network, order: Tensor) -> Network:
    w, b, v, c = net
    return w[order], b[order], v[:, order], c


def by_weights(to: Network, net: Network) -> Network:
    """``net`` with its hidden units in the order in which weights agree most with those of ``to``: the assignment that
    maximizes the sum of the inner products of what goes into and out of each unit."""
    from scipy.optimize import linear_sum_assignment

    alike = to[0] @ net[0].mT + to[1][:, None] * net[1] + to[2].mT @ net[2]
    return reordered(net, torch.tensor(linear_sum_assignment(alike.numpy(), maximize=True)[1]))


def as_it_is(to: Network, net: Network) -> Network:
    return net


def backwards(to: Network, net: Network) -> Network:
    return reordered(by_weights(to, net), torch.arange(len(net[0])).flip(0))


def barrier(one: Network, other: Network) -> float:
    """By how much the loss on the line between two networks rises above the line between their losses, at most."""
    ends, worst = (loss_of(one), loss_of(other)), 0.0
    for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        w, b, v, c = (torch.lerp(p, q, t) for p, q in zip(one, other, strict=True))
        worst = max(worst, loss_of((w, b, v, c)) - (1 - t) * ends[0] - t * ends[1])
    return worst


@claim(
    "weight matching",
    REBASIN,
    subject=by_weights,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=as_it_is,
    seeds=3,
)
def weight_matching_undoes_a_permutation(method: Matching, seed: int) -> float:
    """Matching weights by linear assignment finds the order of hidden units again.

    The largest difference of weights between a random network of 32 units and itself, shuffled and matched.
    """
    net = random_net(seed, 32)
    random = torch.Generator().manual_seed(seed)
    again = method(net, reordered(net, torch.randperm(32, generator=random)))
    return max(float((p - q).abs().max()) for p, q in zip(net, again, strict=True))


@claim(
    "weight matching",
    REBASIN,
    subject=by_weights,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=backwards,
    seeds=4,
    scale="ReLU networks with 64 hidden units on 500 digits of 8 × 8 pixels, 100 full-batch steps of Adam",
)
def matched_networks_are_separated_by_a_lower_barrier(method: Matching, seed: int) -> float:
    """Two networks trained from different starts are joined by a line of low loss once their hidden units are permuted
    to agree.

    The barrier of the training loss after matching over that before.
    """
    one, other = trained(2 * seed, 64), trained(2 * seed + 1, 64)
    return barrier(one, method(one, other)) / barrier(one, other)


@claim(
    "weight matching",
    REBASIN,
    subject=by_weights,
    kind="empirical",
    predicts=at_most(0.02),
    tolerance=0.0,
    wrong=as_it_is,
    seeds=5,
    cost="full",
    scale="ReLU networks with 4 and with 64 hidden units on 500 digits of 8 × 8 pixels, 100 full-batch steps of Adam",
)
def the_barrier_between_matched_networks_vanishes_with_width(method: Matching, seed: int) -> float:
    """The wider the networks, the lower the barrier that is left after matching.

    The barrier at width 64 over that at width 4. (Without matching it falls, too, to about a tenth: 0.02 stands for
    zero here.)
    """
    wide, narrow = (
        barrier(one, method(one, other))
        for one, other in ((trained(2 * seed, width), trained(2 * seed + 1, width)) for width in (64, 4))
    )
    return wide / narrow
