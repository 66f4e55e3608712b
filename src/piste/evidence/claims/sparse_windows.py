"""MicroAdam: a window of sparse gradients, and errors in four bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...transforms.microadam import quantized, unquantized
from ..claim import at_most, between, claim, equal
from .identities import noise
from .lean import against, flat, kept
from .wrong import instead, told

MICROADAM = "MicroAdam: Accurate Adaptive Optimization with Low Space Overhead and Provable Convergence"


@claim(
    "MicroAdam",
    MICROADAM,
    kind="theorem",
    predicts=equal(0.9),
    tolerance=0.01,
    wrong=instead("AdamW"),
    seeds=1,
)
def micro_adam_keeps_nine_tenths_of_a_byte(method: Any, seed: int) -> float:
    """With ten gradients of 1 % and errors in four bits the state takes 0.9 bytes a weight: 0.5 for the errors, 0.4 for
    the values and places of the window.

    The bytes kept a weight for a 512 × 512 matrix, with the authors' buckets of 100,000 and in their
    bf16.
    """
    hyper = {"quant_block_size": 100000, "storage": "bf16"} if method.__name__ == "MicroAdam" else {}
    return kept(method, 512, 512, **hyper) / 512**2


def four_bits(x: Tensor, block: int) -> Tensor:
    """What is left of x by MicroAdam's code."""
    return unquantized(*quantized(x, block, x.dtype), block, x)


def three_bits(x: Tensor, block: int) -> Tensor:
    low, high = (f(x.view(-1, block), -1, keepdim=True) for f in (torch.amin, torch.amax))
    unit = (high - low) / 7
    return (((x.view(-1, block) - low) / unit).round() * unit + low).view(-1)


@claim(
    "MicroAdam's code",
    MICROADAM,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=three_bits,
    subject=four_bits,
    seeds=3,
)
def errors_in_four_bits_are_off_by_a_thirtieth_of_their_range(method: Any, seed: int) -> float:
    """Rounding a bucket to 16 equal steps between its least and its largest number leaves an error of at most half a
    step, (Δ - δ) / 30, and so shrinks what is compressed.

    The largest error over that, 64 buckets of 64 normal and of 64 Cauchy numbers.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    a, b = torch.randn(2, 64 * 64, generator=random, dtype=torch.float64)
    for x in (a, a / b):
        buckets = x.view(64, 64)
        unit = (buckets.amax(1) - buckets.amin(1)) / 30
        off = (method(x, 64) - x).view(64, 64).abs().amax(1)
        worst = max(worst, float((off / unit).max()))
    return worst


@claim(
    "MicroAdam",
    MICROADAM,
    kind="theorem",
    predicts=at_most(0.1),
    tolerance=0.01,
    wrong=instead("AdamW"),
    seeds=3,
)
def a_step_moves_what_the_window_holds(method: Any, seed: int) -> float:
    """Updates are sparse: with ten gradients of 1 % a step changes at most 10 % of the weights.

    The largest share of 64 × 64 weights that moved in one of 25 steps on normal gradients.
    """
    draw = noise(seed, 64, 64)
    return max(float((u != 0).double().mean()) for u in flat(method, lambda t: draw(t, torch.zeros(())), 25))


@claim(
    "MicroAdam",
    MICROADAM,
    kind="theorem",
    predicts=between(0.9, 1.1),
    tolerance=0.0,
    wrong=told("MicroAdam", density=1e-4),
    seeds=2,
)
def feedback_lets_every_gradient_through_in_the_end(method: Any, seed: int) -> float:
    """What sparsity leaves out of a step is not lost: error feedback hands it on, and steps add up to what all of the
    gradients ask for.

    With a constant gradient of 16 × 16 weights of sizes ½ to 2, ten gradients of 10 %, β = (0, 0) and ε = 1e6 (a step
    is then the newest sparse gradient over ε): the sum of 100 steps along the gradient, over that of the gradients.
    """
    random = torch.Generator().manual_seed(seed)
    g = torch.randn(16, 16, generator=random, dtype=torch.float64).sign()
    g = g * (0.5 + 1.5 * torch.rand(16, 16, generator=random, dtype=torch.float64))
    hyper: dict[str, Any] = dict(betas=(0.0, 0.0), eps=1e6, density=0.1, quant_block_size=16)
    moved = sum(flat(method, lambda t: g, 100, **hyper))
    return float((1e6 * moved * g).sum() / (100 * g.square().sum()))


@claim(
    "MicroAdam",
    MICROADAM,
    kind="empirical",
    predicts=at_most(1.1),
    tolerance=0.0,
    wrong=told("MicroAdam", weight_decay=30.0),
    seeds=24,
    cost="full",
    scale="64-32-10 on digits, 100 steps of 100, windows of ten gradients of 5 %, the rate tuned and falling to 0",
)
def micro_adam_learns_what_adam_learns(method: Any, seed: int) -> float:
    """MicroAdam's convergence is competitive with that of the uncompressed Adam.

    The loss on new digits over Adam's, both tuned.
    """
    return against(method, "Adam", seed, (0.02, 0.05, 0.15), (0.01, 0.03, 0.1), density=0.05)
