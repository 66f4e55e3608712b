"""Copies of layers, trained in ever new combinations."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...averaging.aggregation import DeepCombination
from ...transforms.averaging import swa
from ..claim import at_most, claim
from .averaged_digits import BATCH, DECAY, EPOCH, SPOTS, WIDTH, flat, loss
from .averaged_digits import batches as slopes
from .merging import random_net
from .turned_digits import LEARNED, TEST, part
from .weight_averages import walk

COMBINATIONS = "Deep Combinatorial Aggregation"
SCALE = "a ReLU network of 32 hidden units on 500 digits of 8 × 8 pixels with noise of 0.4 on each, five copies of its "
SCALE += "two layers"
Made = Callable[[nn.Module, int], DeepCombination]


def plain(seed: int) -> nn.Module:
    """The network that others on these digits begin with."""
    net = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10)).double()
    nn.utils.vector_to_parameters(flat(random_net(seed, WIDTH)).flatten(), net.parameters())
    return net


def trained(
    method: Made, seed: int, epochs: int, lr: float, weight: float = 1.0, times: int = 5, copies: int = 5
) -> DeepCombination:
    """After steps of SGD on batches with noise, on the loss that makes combinations agree; drawing when evaluated or
    not as ``method`` made it."""
    (x, labels), random = part(0.0, LEARNED), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = method(plain(seed), copies).train()
    opt = torch.optim.SGD(net.parameters(), lr=lr, weight_decay=DECAY)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=random).split(BATCH):
            seen = x[rows] + SPOTS * torch.randn(BATCH, 64, generator=random, dtype=torch.float64)
            opt.zero_grad()
            net.consistency(seen, lambda z, shown=labels[rows]: F.cross_entropy(z, shown), times, weight)
            opt.step()
    return net.eval()


@torch.no_grad()
def answers(net: nn.Module, times: int = 1) -> Tensor:
    """Logits on other digits."""
    return torch.stack([net(part(0.0, TEST)[0]) for _ in range(times)])


def missed(logits: Tensor) -> Tensor:
    """The cross entropy of each."""
    labels = part(0.0, TEST)[1]
    return torch.stack([F.cross_entropy(one, labels) for one in logits])


def drawing(model: nn.Module, copies: int) -> DeepCombination:
    """One combination in place of the mean."""
    return DeepCombination(model, copies).draws()


def alone(model: nn.Module, copies: int) -> DeepCombination:
    return DeepCombination(model, 1)


@claim(
    "DeepCombination", COMBINATIONS, subject=DeepCombination, kind="empirical", predicts=at_most(1.05), tolerance=0.0,
    wrong=drawing, seeds=6, scale=SCALE + ", 30 epochs of 25 batches", cost="full",
)  # fmt: skip
def the_mean_of_copies_is_as_good_as_the_mean_of_points(method: Made, seed: int) -> float:
    """The network whose layers are the means of their copies (DCWA) is on a par with stochastic weight averaging, and
    needs no schedule of its own.

    Its loss on 797 other digits over that of the mean of the last ten epochs' ends, each at the best of its constant
    rates. A twentieth is taken for on a par.
    """
    ours = min(float(missed(answers(trained(method, seed, 30, lr), 20)).mean()) for lr in (1.0, 2.0))
    begin, theirs = flat(random_net(seed, WIDTH)), []
    for lr in (0.25, 0.5, 1.0):
        *_, (_, shown) = walk(swa(21 * EPOCH, EPOCH), slopes(seed), begin, 30 * EPOCH, lr, EPOCH)
        theirs.append(loss(shown, TEST))
    return ours / min(theirs)


@claim(
    "DeepCombination", COMBINATIONS, subject=DeepCombination, kind="empirical", predicts=at_most(0.9), tolerance=0.0,
    wrong=drawing, seeds=4, scale=SCALE + ", 10 epochs of 25 batches",
)  # fmt: skip
def the_mean_of_copies_is_better_than_their_combinations(method: Made, seed: int) -> float:
    """Combinations of copies that were trained in ever new combinations may be averaged in the weights.

    The loss on other digits with the means of the copies over the mean loss of 200 random combinations, without the
    loss that makes these agree. A tenth less is asked for.
    """
    net = trained(method, seed, 10, 1.0, 0.0, 1)
    mean = missed(answers(net, 200)).mean()
    return float(mean / missed(answers(net.draws(), 200)).mean())


@claim(
    "DeepCombination", COMBINATIONS, subject=DeepCombination, kind="empirical", predicts=at_most(0.9), tolerance=0.0,
    wrong=alone, seeds=10, scale=SCALE + ", 5 epochs of 25 batches", cost="full",
)  # fmt: skip
def the_consistency_loss_makes_combinations_agree(method: Made, seed: int) -> float:
    """The consistency loss, KL of each draw from the one before it, makes combinations agree.

    The variance of predicted probabilities over 20 combinations with this loss over that without, two draws to a step.
    A tenth less is taken for agreement.
    """
    spreads = [
        answers(trained(method, seed, 5, 1.0, weight, 2).draws(), 20).softmax(-1).var(0).mean()
        for weight in (1.0, 0.0)
    ]
    return float(spreads[0] / spreads[1])
