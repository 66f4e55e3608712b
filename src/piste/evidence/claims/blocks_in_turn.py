"""Blocks of parameters that take turns: BAdam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..._registry import get
from ...memory.blocks import Blocks, by_layer
from ...memory.low_rank import ChainOfLoRA
from ..claim import at_most, claim, equal
from ..tuning import tuned
from .small_nets import fit, knowing, missed, net

BADAM = "BAdam: A Memory Efficient Full Parameter Training Method for Large Language Models"
Turns = Callable[[nn.Module, float, int], tuple[Any, Callable[[], None]]]


def in_turn(model: nn.Module, lr: float, every: int) -> tuple[Any, Callable[[], None]]:
    """AdamW, and what follows its steps: the layers take turns."""
    opt = get("AdamW", "optimizer").target(model, lr=lr, weight_decay=0.0)
    return opt, Blocks(opt, by_layer(model), every=every).step


def all_at_once(model: nn.Module, lr: float, every: int) -> tuple[Any, Callable[[], None]]:
    return get("AdamW", "optimizer").target(model, lr=lr, weight_decay=0.0), lambda: None


def the_head_alone(model: nn.Module, lr: float, every: int) -> tuple[Any, Callable[[], None]]:
    opt = get("AdamW", "optimizer").target(model, lr=lr, weight_decay=0.0)
    last: Callable[[int, int, int], list[int]] = lambda count, cycle, seed: [count - 1] * count  # noqa: E731
    return opt, Blocks(opt, by_layer(model), every=every, order=last).step


@claim(
    "BAdam", BADAM, subject=in_turn, kind="theorem", predicts=equal(1.0), tolerance=0.0, wrong=all_at_once, seeds=2
)  # fmt: skip
def state_is_that_of_the_largest_block(method: Turns, seed: int) -> float:
    """BAdam's optimizer states are those of one block: Adam's two moments of the largest is the most there is.

    The most bytes of state after any of 40 steps, over two moments of the largest layer of four; each has its turn for
    5 steps.
    """
    model, seen = net(seed, 32, 24, 16), 0
    opt, after = method(model, 0.01, 5)

    def look(t: int) -> None:
        nonlocal seen
        after()
        seen = max(seen, opt.state_bytes())

    fit(model, opt, 40, seed, after=look)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    return seen / (2 * max(sum(p.nbytes for p in layer.parameters()) for layer in layers))


@claim(
    "BAdam", BADAM, subject=in_turn, kind="theorem", predicts=equal(1.0), tolerance=1e-12, wrong=all_at_once, seeds=2
)  # fmt: skip
def backward_goes_half_the_way(method: Turns, seed: int) -> float:
    """Backward stops at the block that is awake, so that over a cycle of D blocks it passes (D + 1)/2 of them a step,
    where it else passes all D.

    The mean number of layers of five that backward passes through in two cycles, over 3.
    """
    model, passed = net(seed, 24, 24, 24, 24), 0
    opt, after = method(model, 0.01, 3)

    def count(_: torch.Tensor) -> None:
        nonlocal passed
        passed += 1

    def listen(layer: nn.Module, given: Any, out: torch.Tensor) -> None:
        if out.requires_grad:
            out.register_hook(count)

    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(listen)
    fit(model, opt, 30, seed, after=lambda t: after())
    return passed / 30 / 3


@claim(
    "BAdam", BADAM, subject=in_turn, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=the_head_alone,
    seeds=6, cost="full",
    scale="a ReLU network of two hidden layers of 48 units that knows 1000 digits, fine-tuned on 500 that are turned "
    "by 45° by 180 steps, blocks of 20 steps, LoRA of rank 4; tried on 797 others",
)  # fmt: skip
def blocks_in_turn_fine_tune_better_than_lora(method: Turns, seed: int) -> float:
    """Fine-tuned for as many steps, BAdam does better than LoRA.

    The loss on other turned digits over LoRA's, each at the best of its rates.
    """

    def ours(lr: float) -> float:
        model = knowing(seed, 48, 48)
        opt, after = method(model, lr, 20)
        return missed(fit(model, opt, 180, seed, 45.0, slice(0, 500), after=lambda t: after()), 45.0)

    def lora(lr: float) -> float:
        model = knowing(seed, 48, 48)
        pairs = ChainOfLoRA(model, rank=4, seed=seed)
        opt = get("AdamW", "optimizer").target(pairs.parameters(), lr=lr, weight_decay=0.0)
        return missed(fit(model, opt, 180, seed, 45.0, slice(0, 500)), 45.0)

    rates = (0.003, 0.01, 0.03)
    return tuned(ours, rates).score / tuned(lora, rates).score
