"""The smallest weights, fine-tuned: SaRA."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..._registry import get
from ...memory.masks import chance, magnitude, top
from ...memory.sparse_delta import SaRA
from ..claim import at_most, claim, equal
from .small_nets import FIRST, fit, knowing, missed, net

SARA = "SaRA: High-Efficient Diffusion Model Fine-tuning with Progressive Sparse Low-Rank Adaptation"
KNOWN = "a ReLU network of two hidden layers of 80 units that knows 1000 digits of 8 × 8 pixels"
Score = Callable[[nn.Module], dict[str, Tensor]]
Make = Callable[[nn.Module, float], SaRA]


def smallest(model: nn.Module) -> dict[str, Tensor]:
    return {name: -size for name, size in magnitude(model).items()}


def any_of_them(model: nn.Module) -> dict[str, Tensor]:
    return chance(model, 1)


@claim(
    "SaRA", SARA, subject=smallest, kind="empirical", predicts=at_most(0.1), tolerance=0.0, wrong=any_of_them, seeds=4,
    scale=KNOWN,
)  # fmt: skip
def the_smallest_weights_of_a_trained_model_do_little(method: Score, seed: int) -> float:
    """The 10 to 20 % of a trained model's weights that are smallest do little for what it can do.

    By how much the loss on what it knows moves where the smallest 10 % are set to zero, over how much it moves where
    10 % at random are.
    """

    def moved(score: Score) -> float:
        model = knowing(seed, 80, 80)
        before = missed(model, rows=FIRST)
        for name, mask in top(score(model), 0.1).items():
            model.get_parameter(name).data.masked_fill_(mask, 0.0)
        return abs(missed(model, rows=FIRST) - before)

    others = sum(moved(lambda model, k=k: chance(model, 10 + k)) for k in range(5)) / 5
    return moved(method) / others


def twice(model: nn.Module, share: float) -> SaRA:
    return SaRA(model, 2 * share)


@claim("SaRA", SARA, subject=SaRA, kind="theorem", predicts=equal(1.0), tolerance=1e-3, wrong=twice, seeds=2)
def gradients_and_state_are_of_the_chosen_entries(method: Make, seed: int) -> float:
    """Unstructured backpropagation: gradients and optimizer states are of the chosen weights only.

    The numbers of gradients and of AdamW's state after a step over three times 5 % of the weights.
    """
    model = net(seed, 80, 80)
    total = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    sara = method(model, 0.05)
    opt = get("AdamW", "optimizer").target(sara.parameters(), lr=0.01)
    fit(model, opt, 1, seed)
    grads = sum(p.grad.numel() for p in model.parameters() if p.grad is not None)
    return (grads + opt.state_bytes() / 8) / (3 * 0.05 * total)


def with_norm(sara: SaRA) -> Tensor:
    return 3e-3 * sara.nuclear_norm()


def without(sara: SaRA) -> Tensor:
    return 0.0 * sara.nuclear_norm()


@claim(
    "SaRA", SARA, subject=with_norm, kind="empirical", predicts=at_most(0.9), tolerance=0.0, wrong=without, seeds=5,
    scale=KNOWN + ", 10 % of it fine-tuned on 500 turned by 30° by 150 steps of AdamW, λ = 3e-3", cost="full",
)  # fmt: skip
def the_nuclear_norm_lowers_the_rank_of_what_is_learned(method: Callable[[SaRA], Tensor], seed: int) -> float:
    """The nuclear norm in the loss makes the sparse matrices of low rank.

    Their effective rank, (Σσ)²/Σσ², where it is in the loss over where it is not, the mean over the matrices that are
    large enough.
    """

    def rank(more: Callable[[SaRA], Tensor]) -> float:
        model = knowing(seed, 80, 80)
        sara = SaRA(model, 0.1, least_side=40)
        opt = get("AdamW", "optimizer").target(sara.parameters(), lr=0.005, weight_decay=0.0)
        fit(model, opt, 150, seed, 30.0, slice(0, 500), more=lambda: more(sara))
        values = [torch.linalg.svdvals(sara.matrix(n).detach()) for n in ("0.weight", "2.weight")]
        return sum(float(s.sum() ** 2 / s.square().sum()) for s in values)

    return rank(method) / rank(without)


def some(model: nn.Module) -> list[nn.Parameter]:
    return SaRA(model, 0.1).parameters()


def every(model: nn.Module) -> list[nn.Parameter]:
    return list(model.parameters())


@claim(
    "SaRA", SARA, subject=some, kind="empirical", predicts=at_most(0.8), tolerance=0.0, wrong=every, seeds=4,
    scale=KNOWN + ", fine-tuned on 500 turned by 30° until the loss on these is 0.3", cost="full",
)  # fmt: skip
def small_weights_learn_without_forgetting(
    method: Callable[[nn.Module], list[nn.Parameter]], seed: int
) -> float:
    """Fine-tuned to the same loss on the new task, SaRA keeps more of what the model knew than full fine-tuning does.

    How much the loss on upright digits has risen over how much it has with all weights, where AdamW stops at a loss of
    0.3 on the turned ones.
    """

    def forgot(which: Callable[[nn.Module], list[nn.Parameter]]) -> float:
        model, new = knowing(seed, 80, 80), slice(0, 500)
        before, params = missed(model), which(model)
        opt = get("AdamW", "optimizer").target(params, lr=1e-3, weight_decay=0.0)
        for t in range(40):
            if missed(model, 30.0, new) <= 0.3:
                break
            fit(model, opt, 5, 100 * seed + t, 30.0, new)
            opt.param_groups[0]["lr"] = 1e-3
        return missed(model) - before

    return forgot(method) / forgot(every)
