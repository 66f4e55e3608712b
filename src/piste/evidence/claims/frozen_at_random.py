"""Weights frozen where a seed put them, and masks: FreezeNet and the survey of reduced training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..._registry import get
from ...memory.freezing import FreezeNet
from ...memory.masks import Reduced, chance, snip, top
from ..claim import at_most, claim, equal
from ..tuning import tuned
from .small_nets import FIRST, fit, layered, missed, net
from .turned_digits import part

FREEZE = "FreezeNet: Full Performance by Reduced Storage Costs"
SURVEY = "Dimensionality Reduced Training by Pruning and Freezing Parts of a Deep Neural Network, a Survey"
SCALE = "a ReLU network of two hidden layers of 64 units on 1000 digits of 8 × 8 pixels, 300 steps of AdamW on batches "
SCALE += "of 50; tried on 797 others"
RATES = (0.003, 0.01, 0.03)
Reduce = Callable[[nn.Module, dict[str, Tensor]], Reduced]


def build() -> nn.Module:
    """Of torch's generator as it is."""
    return layered(64, 64)


def loss(model: nn.Module) -> Tensor:
    x, labels = part(0.0, slice(0, 200))
    return F.cross_entropy(model(x), labels)


def frozen(model: nn.Module, masks: dict[str, Tensor]) -> Reduced:
    return Reduced(model, masks)


def pruned(model: nn.Module, masks: dict[str, Tensor]) -> Reduced:
    return Reduced(model, masks, pruned=True)


def adamw(reduced: Reduced, lr: float) -> Any:
    return get("AdamW", "optimizer").target(reduced.parameters(), lr=lr, weight_decay=0.0)


def reached(
    reduce: Reduce, seed: int, share: float, score: Callable[[nn.Module], dict[str, Tensor]]
) -> float:
    """The loss on other digits, at the best of the rates."""

    def at(lr: float) -> float:
        model = net(seed, 64, 64)
        reduced = reduce(model, top(score(model), share))
        return missed(fit(model, adamw(reduced, lr), 300, seed))

    return tuned(at, RATES).score


def felt(model: nn.Module) -> dict[str, Tensor]:
    return snip(model, lambda: loss(model))


def unfelt(model: nn.Module) -> dict[str, Tensor]:
    return {name: -score for name, score in felt(model).items()}


def seed_and_values(saved: dict[str, Any]) -> nn.Module:
    return FreezeNet.restored(build, saved).model


def values_alone(saved: dict[str, Any]) -> nn.Module:
    """What a pruned network would be: zeros where nothing was trained."""
    model = build()
    for p in model.parameters():
        p.data.zero_()
    for name, value in saved["state"].items():
        if name.endswith("values"):
            owner = name.replace("parametrizations.", "").replace(".0.values", "")
            places = saved["state"][name.replace("values", "places")].long()
            model.get_parameter(owner).data.view(-1)[places] = value
        elif name.endswith("bias"):
            model.get_parameter(name).data.copy_(value)
    return model


@claim(
    "FreezeNet", FREEZE, subject=seed_and_values, kind="identity", predicts=equal(0.0), tolerance=0.0,
    wrong=values_alone, seeds=2,
)  # fmt: skip
def a_seed_and_a_few_values_are_the_network(
    method: Callable[[dict[str, Any]], nn.Module], seed: int
) -> float:
    """All frozen weights are stored as one random seed of 32 bits, with the trained ones beside it.

    The largest difference of the answers on other digits, of a network of which 2 % were trained for 30 steps and the
    one that its saved seed, places and values make.
    """
    made = FreezeNet(build, loss, 0.02, seed)
    opt = adamw(made.reduced, 0.01)
    fit(made.model, opt, 30, seed)
    x, _ = part(0.0, slice(1000, 1797))
    with torch.no_grad():
        return float((method(made.saved())(x) - made.model(x)).abs().max())


@claim(
    "FreezeNet", FREEZE, subject=frozen, kind="theorem", predicts=equal(1.0), tolerance=1e-9, wrong=pruned, seeds=3
)  # fmt: skip
def freezing_preserves_the_flow_of_gradients(method: Reduce, seed: int) -> float:
    """Unlike pruning, freezing leaves the gradients of the trained weights what they were in the dense network.

    The norm of the gradients of the 2 % that are trained, before the first step, over that in the dense network.
    """
    model, dense = net(seed, 64, 64), net(seed, 64, 64)
    masks = top(felt(model), 0.02)
    reduced = method(model, masks)
    loss(model).backward()
    loss(dense).backward()
    ours = torch.cat([e.values.grad for e in reduced.entries.values()])  # type: ignore[misc]
    theirs = torch.cat([dense.get_parameter(n).grad[m] for n, m in masks.items()])  # type: ignore[index]
    return float(ours.norm() / theirs.norm())


@claim(
    "FreezeNet", FREEZE, subject=frozen, kind="empirical", predicts=at_most(0.8), tolerance=0.0, wrong=pruned, seeds=4,
    scale="1 % of " + SCALE, cost="full",
)  # fmt: skip
def frozen_networks_train_better_than_pruned_ones(method: Reduce, seed: int) -> float:
    """Where few weights are trained FreezeNet does better than SNIP, which sets the others to zero.

    The loss on other digits over that of the pruned network of the same 1 % of weights, each at the best of its rates.
    """
    return reached(method, seed, 0.01, felt) / reached(pruned, seed, 0.01, felt)


def in_full(model: nn.Module, masks: dict[str, Tensor]) -> Reduced:
    """All weights trained."""
    return Reduced(model, {name: torch.ones_like(mask) for name, mask in masks.items()})


@claim(
    "Reduced", SURVEY, subject=frozen, kind="theorem", predicts=equal(0.0), tolerance=1e-12, wrong=in_full, seeds=2
)  # fmt: skip
def reduced_training_stays_in_an_affine_space_of_few_dimensions(method: Reduce, seed: int) -> float:
    """Pruning and freezing are one thing, training in an affine space of d' < d dimensions: φ ∈ R^d', w = w₀ + Eφ.

    How much of the change after 40 steps lies outside the span of the chosen coordinates, as a share of its norm.
    """
    model = net(seed, 64, 64)
    begin = {n: p.detach().clone() for n, p in model.named_parameters()}
    masks = top(felt(model), 0.05)
    reduced = method(model, masks)
    fit(model, adamw(reduced, 0.01), 40, seed)
    moved = {n: reduced.weight(n) - begin[n] for n in masks}
    outside = torch.cat([d[~masks[n]] for n, d in moved.items()])
    return float(outside.norm() / torch.cat([d.flatten() for d in moved.values()]).norm())


@claim(
    "snip", SURVEY, subject=felt, kind="empirical", predicts=at_most(0.8), tolerance=0.0, wrong=unfelt, seeds=6,
    scale="5 % of " + SCALE, cost="full",
)  # fmt: skip
def pruning_before_training_wants_to_know_the_loss(
    method: Callable[[nn.Module], dict[str, Tensor]], seed: int
) -> float:
    """Pruning at initialization by what the loss feels is better than pruning at random.

    The loss on other digits over that of as many weights at random, each at the best of its rates.
    """
    # with 2 % some networks of random weights are cut through, and no rate is the best of them
    return reached(pruned, seed, 0.05, method) / reached(
        pruned, seed, 0.05, lambda model: chance(model, seed)
    )


def moving(reduced: Reduced, opt: Any) -> None:
    reduced.drop_and_grow(0.3, opt)


def staying(reduced: Reduced, opt: Any) -> None:
    """Static masks."""


@claim(
    "Reduced", SURVEY, subject=moving, kind="empirical", predicts=at_most(0.9), tolerance=0.0, wrong=staying, seeds=6,
    scale="5 % of " + SCALE + ", from masks at random, 30 % of them moved in every 15 of the first 225 steps",
    cost="full",
)  # fmt: skip
def masks_that_move_do_better_than_masks_that_stay(
    method: Callable[[Reduced, Any], None], seed: int
) -> float:
    """Dynamic sparse training does better than training the sparse network it began with.

    The loss on other digits over that of static masks, each at the best of its rates.
    """

    def at(lr: float, move: Callable[[Reduced, Any], None]) -> float:
        model = net(seed, 64, 64)
        reduced = pruned(model, top(chance(model, seed), 0.05))
        opt, (x, labels) = adamw(reduced, lr), part(0.0, FIRST)

        def after(t: int) -> None:
            if t % 15 == 14 and t < 225:
                reduced.watch()
                opt.zero_grad()
                F.cross_entropy(model(x), labels).backward()
                move(reduced, opt)

        return missed(fit(model, opt, 300, seed, after=after))

    return tuned(lambda lr: at(lr, method), RATES).score / tuned(lambda lr: at(lr, staying), RATES).score
