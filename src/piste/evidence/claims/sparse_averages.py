"""Pruning whose copies are averaged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from ..._registry import get
from ...merging.pruned import Masks, Retrain, apply_masks, magnitude_masks, sparse_soup, swamp
from ...merging.running import merge
from ..claim import at_most, claim, equal
from .merging import Network, random_net, train
from .turned_digits import TEST, answers, cost, error, part, tune

SMS = "Sparse Model Soups: A Recipe for Improved Pruning via Model Averaging"
SWAMP = "SWAMP: Sparse Weight Averaging with Multiple Particles for Iterative Magnitude Pruning"
SCALE = (
    "ReLU networks of 64 units, 90 % of their weights pruned in 4 cycles, each of {} steps of AdamW on batches of 25 "
    "of 200 digits of 8 × 8 pixels; {}; tried on 797 others"
)
ROWS, SPARSITY, CYCLES = slice(0, 200), 0.9, 4
Prune = Callable[..., Masks]


@lru_cache(16)
def dense(seed: int, steps: int) -> dict[str, Tensor]:
    w, b, v, c = tune(random_net(seed, 64), *part(0.0, ROWS), seed, steps=steps)
    return {"0.weight": w, "0.bias": b, "2.weight": v, "2.bias": c}


def module(state: dict[str, Tensor]) -> nn.Module:
    made = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).double()
    made.load_state_dict(state)
    return made


def retrainer(seed: int, steps: int, averaged: int = 0) -> Retrain:
    """Training that keeps zeros, each cycle and copy on batches of its own, and ends at the mean of its last steps."""
    x, labels = part(0.0, ROWS)
    shown = nn.functional.one_hot(labels, 10).double()

    def retrain(model: nn.Module, cycle: int, which: int) -> None:
        random = torch.Generator().manual_seed(10000 * seed + 100 * cycle + which)
        params = list(model.parameters())
        masks = {n: p != 0 for n, p in model.named_parameters() if p.ndim > 1}
        opt, last = get("AdamW", "optimizer").target(params, lr=0.01, weight_decay=0.0), []
        for step in range(steps):
            rows = torch.randint(len(x), (25,), generator=random)
            train(opt, params, x[rows], shown[rows], 1)
            apply_masks(model, masks)
            if step >= steps - averaged:
                last.append({n: t.clone() for n, t in model.state_dict().items()})
        if last:
            model.load_state_dict(merge("soup", last))

    return retrain


def apart(model: nn.Module, retrain: Retrain, sparsity: float, cycles: int, copies: int) -> Masks:
    """The mean of copies that were pruned one by one."""
    found = []
    for i in range(copies):
        one = copy.deepcopy(model)
        sparse_soup(one, lambda m, cycle, _, i=i: retrain(m, cycle, i), sparsity, cycles, 1)
        found.append(one)
    model.load_state_dict(merge("soup", found))
    return {n: p != 0 for n, p in model.named_parameters() if p.ndim > 1}


def pruned_again(model: nn.Module, retrain: Retrain, sparsity: float, cycles: int, copies: int) -> Masks:
    """The same, pruned once more to be as sparse."""
    apart(model, retrain, sparsity, cycles, copies)
    whole = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters() if p.ndim > 1}
    masks = magnitude_masks(model.state_dict(), whole, sparsity)
    apply_masks(model, masks)
    return masks


def pruned_last(model: nn.Module, retrain: Retrain, sparsity: float, cycles: int, copies: int) -> Masks:
    """Copies that are trained whole; their mean is pruned, and trained no more."""
    found = [copy.deepcopy(model) for _ in range(copies)]
    for i, one in enumerate(found):
        retrain(one, 0, i)
    model.load_state_dict(merge("soup", found))
    whole = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters() if p.ndim > 1}
    masks = magnitude_masks(model.state_dict(), whole, sparsity)
    apply_masks(model, masks)
    return masks


def pruned(
    method: Prune, seed: int, start: int, copies: int, first: int = 0, steps: int = 60, averaged: int = 0
) -> Network:
    """What pruning leaves of a network that was trained for ``start`` steps, with copies counted from ``first``."""
    model, retrain = module(dense(seed, start)), retrainer(seed, steps, averaged)
    method(model, lambda m, cycle, i: retrain(m, cycle, first + i), SPARSITY, CYCLES, copies)
    w, b, v, c = (p.detach() for p in model.parameters())
    return w, b, v, c


@claim(
    "sparse_soup",
    SMS,
    subject=sparse_soup,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-3,
    wrong=apart,
    seeds=2,
)
def a_soup_of_one_mask_is_as_sparse_as_its_models(method: Prune, seed: int) -> float:
    """Averaging models that were pruned one by one reduces the sparsity; copies that share a mask keep it.

    The share of zeros among the weights of the mean of 3 copies less what was asked for, 90 %; up to rounding.
    """
    w, _, v, _ = pruned(method, seed, 200, 3, steps=20)
    weights = torch.cat([w.flatten(), v.flatten()])
    return float((weights == 0).double().mean()) - SPARSITY


@claim(
    "sparse_soup",
    SMS,
    subject=sparse_soup,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=pruned_again,
    seeds=6,
    cost="full",
    scale=SCALE.format(60, "3 copies"),
)
def sparse_soups_beat_pruning_single_models(method: Prune, seed: int) -> float:
    """At the same sparsity the soup of copies from one mask, pruned on from their mean in each cycle, is better
    than single models that were pruned with as many cycles.

    The cross entropy of the soup of 3 copies on new digits over the mean of three models pruned alone, each on the
    batches of a copy.
    """
    test = part(0.0, TEST)
    alone = [cost(pruned(sparse_soup, seed, 200, 1, first), *test) for first in range(3)]
    return cost(pruned(method, seed, 200, 3), *test) / (sum(alone) / 3)


@lru_cache(64)
def ticket(seed: int, first: int) -> Network:
    """What one particle alone leaves."""
    return pruned(swamp, seed, 60, 1, first, 80, 30)


@claim(
    "swamp",
    SWAMP,
    subject=swamp,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=pruned_last,
    seeds=6,
    cost="full",
    scale=SCALE.format(80, "4 particles, the last 30 steps averaged, rewound to step 60"),
)
def averaging_particles_finds_better_tickets(method: Prune, seed: int) -> float:
    """Iterative magnitude pruning whose masks and solutions are means over several particles is better than with one.

    The cross entropy on new digits with 4 particles over the mean of three runs with one.
    """
    test = part(0.0, TEST)
    alone = sum(cost(ticket(seed, 10 + k), *test) for k in range(3)) / 3
    return cost(pruned(method, seed, 60, 4, 0, 80, 30), *test) / alone


@claim(
    "swamp",
    SWAMP,
    subject=swamp,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.05,
    wrong=pruned_last,
    seeds=6,
    cost="full",
    scale=SCALE.format(80, "4 particles, the last 30 steps averaged, rewound to step 60"),
)
def particles_in_one_network_are_worth_an_ensemble_of_two(method: Prune, seed: int) -> float:
    """One network of averaged particles is about as accurate as an ensemble of two that iterative magnitude pruning
    found.

    The error with 4 particles over that of the mean prediction of two runs with one; five of a hundred more are about
    as many.
    """
    x, labels = part(0.0, TEST)
    shares = sum(answers(ticket(seed, 10 + k), x).softmax(1) for k in range(2))
    wrong = float((shares.argmax(1) != labels).double().mean())  # type: ignore[union-attr]
    return error(pruned(method, seed, 60, 4, 0, 80, 30), x, labels) / wrong
