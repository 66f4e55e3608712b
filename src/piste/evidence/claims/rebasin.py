"""Networks of different starts, their hidden units matched by piste's own re-basin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ..._registry import get
from ...merging.path import loss_path
from ...merging.rebasin import (
    Symmetries,
    match_activations,
    match_straight_through,
    match_weights,
    merge_many,
    symmetries,
)
from ...merging.running import merge
from ..claim import at_most, claim, equal
from .merging import REBASIN, digits

State = Mapping[str, Tensor]
Match = Callable[..., list[Tensor]]
DEEP = "ReLU networks of two hidden layers of 64 units on 500 digits of 8 × 8 pixels, 60 full-batch steps of Adam"


def made(seed: int, width: int = 64) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
        return nn.Sequential(*layers).double()


def cost(net: nn.Module, state: State) -> Tensor:
    x, labels = digits()
    return nn.functional.cross_entropy(torch.func.functional_call(net, dict(state), (x,)), labels)


@lru_cache(64)
def fitted(seed: int, width: int = 64) -> nn.Module:
    x, labels = digits()
    net = made(seed, width)
    opt = get("Adam", "optimizer").target(net.parameters(), lr=0.01)
    for _ in range(60):
        opt.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        opt.step()
    return net.requires_grad_(False)


@lru_cache(1)
def groups() -> Symmetries:
    return symmetries(made(0), digits()[0][:2])


def height(one: nn.Module, other: State) -> float:
    """The barrier of the training loss between a network and the weights of another."""
    return loss_path(one, dict(other), lambda state: float(cost(one, state)), points=11).barrier


def unmatched(found: Symmetries, *_: Any, **__: Any) -> list[Tensor]:
    return found.identity()


def farthest(orders: Sequence[Tensor], net: nn.Module, shuffled: State) -> float:
    """By how much a shuffled network, put in these orders, differs from what it was."""
    back = groups().apply(shuffled, list(orders))
    return max(float((back[n] - t).abs().max()) for n, t in net.state_dict().items())


def shuffled(net: nn.Module, seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(n, generator=random) for n in groups().sizes]
    return groups().apply(net.state_dict(), orders)


def module(state: State) -> nn.Module:
    net = made(0)
    net.load_state_dict(dict(state))
    return net.requires_grad_(False)


@claim(
    "match_weights",
    REBASIN,
    subject=match_weights,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=unmatched,
    seeds=3,
)
def matched_weights_undo_permutations_of_two_layers(method: Match, seed: int) -> float:
    """Matching weights layer by layer, again and again, finds the orders of hidden units of all layers.

    The largest difference of weights between a trained network of two hidden layers and itself, shuffled and matched.
    """
    net = fitted(2 * seed)
    other = shuffled(net, seed)
    random = torch.Generator().manual_seed(seed)
    return farthest(method(groups(), net.state_dict(), other, random), net, other)


@claim(
    "match_activations",
    REBASIN,
    subject=match_activations,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=unmatched,
    seeds=3,
)
def matched_activations_undo_permutations_of_two_layers(method: Match, seed: int) -> float:
    """Matching what units answer, each layer for itself, finds the orders of hidden units of all layers.

    The largest difference of biases between a trained network of two hidden layers and itself, shuffled and matched;
    units that answer 0 to all digits aside, of which nothing can be known.
    """
    net, x = fitted(2 * seed), digits()[0]
    other = shuffled(net, seed)
    back = groups().apply(other, method(groups(), net, module(other), [x]))
    live = [(net[: 2 * k + 2](x) > 0).any(0) for k in range(2)]  # type: ignore[index]
    return max(float((back[f"{2 * k}.bias"] - net[2 * k].bias)[on].abs().max()) for k, on in enumerate(live))  # type: ignore[index]


@claim(
    "match_weights",
    REBASIN,
    subject=match_weights,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=unmatched,
    seeds=4,
    scale=DEEP,
)
def deep_networks_of_matched_weights_are_separated_by_a_lower_barrier(method: Match, seed: int) -> float:
    """Networks trained from different starts lie in one basin once their weights are matched.

    The barrier of the training loss after matching over that before.
    """
    one, other = fitted(2 * seed), fitted(2 * seed + 1)
    orders = method(groups(), one.state_dict(), other.state_dict(), torch.Generator().manual_seed(seed))
    return height(one, groups().apply(other.state_dict(), orders)) / height(one, other.state_dict())


@claim(
    "match_activations",
    REBASIN,
    subject=match_activations,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=unmatched,
    seeds=4,
    scale=DEEP,
)
def deep_networks_of_matched_activations_are_separated_by_a_lower_barrier(method: Match, seed: int) -> float:
    """Networks trained from different starts lie in one basin once units are matched that answer alike.

    The barrier of the training loss after matching over that before.
    """
    one, other = fitted(2 * seed), fitted(2 * seed + 1)
    orders = method(groups(), one, other, [digits()[0]])
    return height(one, groups().apply(other.state_dict(), orders)) / height(one, other.state_dict())


@claim(
    "match_straight_through",
    REBASIN,
    subject=match_straight_through,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.0,
    cost="full",
    wrong=unmatched,
    seeds=12,
    scale="ReLU networks of two hidden layers of 16 units on 500 digits of 8 × 8 pixels, 60 full-batch steps of "
    "Adam, 150 of straight-through descent",
)
def straight_through_matching_leaves_the_lowest_loss_half_way(method: Match, seed: int) -> float:
    """Orders that are learned by descent on the loss half way leave less of it there than those that are matched by
    weights or by activations.

    The logarithm of the loss half way over the lower one of theirs; of networks that are so narrow that matching leaves
    a barrier.
    """
    one, other = fitted(2 * seed, 16), fitted(2 * seed + 1, 16)
    (x, labels), a, b = digits(), one.state_dict(), other.state_dict()
    found, random = symmetries(one, x[:2]), torch.Generator().manual_seed(seed)
    learned = method(found, one, a, b, nn.functional.cross_entropy, [(x, labels)] * 150, generator=random)
    orders = learned, match_weights(found, a, b, random), match_activations(found, one, other, [x])
    ours, *theirs = (float(cost(one, merge("soup", [a, found.apply(b, order)]))) for order in orders)
    return math.log(ours / min(theirs))


def plain(found: Symmetries, models: Sequence[State], *_: Any) -> dict[str, Tensor]:
    return merge("soup", models)


@claim(
    "merge_many",
    REBASIN,
    subject=merge_many,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=plain,
    seeds=4,
    scale=DEEP,
)
def several_networks_are_merged_once_all_are_matched(method: Any, seed: int) -> float:
    """Several networks of different starts can be averaged if each is matched to the mean of the others in turn.

    How far the training loss of the mean of four lies above the mean of theirs, over the same without matching.
    """
    nets = [fitted(4 * seed + k) for k in range(4)]
    states = [net.state_dict() for net in nets]
    level = sum(float(cost(net, state)) for net, state in zip(nets, states, strict=True)) / 4
    mean = method(groups(), states, torch.Generator().manual_seed(seed))
    return (float(cost(nets[0], mean)) - level) / (float(cost(nets[0], merge("soup", states))) - level)
