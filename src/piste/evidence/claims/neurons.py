"""One second moment for a neuron: Adam-mini."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal
from ..problem import Problem, descend
from ..tuning import tuned
from .identities import farthest, noise, walk
from .lean import against, kept
from .wrong import instead, told

MINI = "Adam-mini: Use Fewer Learning Rates To Gain More"


@claim("AdamMini", MINI, kind="theorem", predicts=equal(1.0), tolerance=0.0, wrong=instead("AdamW"), seeds=1)
def a_neuron_keeps_one_second_moment(method: Any, seed: int) -> float:
    """Of Adam's second moments all but one for each output neuron are removed, over 99.9 % of them where matrices are
    wide, and half of its memory.

    What is kept of an m × n matrix beside mn numbers, over m: the case farthest from 1 of 64 × 64, 48 × 1200 and
    300 × 20.
    """
    seen = [(kept(method, m, n) / 4 - m * n) / m for m, n in ((64, 64), (48, 1200), (300, 20))]
    return max(seen, key=lambda x: abs(x - 1))


@claim(
    "AdamMini",
    MINI,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("AdamMini", betas=(0.9, 0.9)),
    seeds=3,
)
def where_a_neurons_squares_agree_adam_mini_is_adam(method: Any, seed: int) -> float:
    """Adam-mini replaces the squares of a block by their mean, and is Adam where they are equal.

    The largest distance from AdamW's path in 40 steps of 0.01, 8 × 6, rows of gradients of one size but random signs.
    """
    draw, sizes = noise(seed, 8, 6), noise(seed + 50, 8, 1)

    def slope(t: int, w: Tensor) -> Tensor:
        return sizes(t, w) * draw(t, w).sign()

    start = torch.zeros(8, 6, dtype=torch.float64)
    ways = [
        walk(make, start, slope, 40, lr=0.01, weight_decay=0.1)
        for make in (method, get("AdamW", "optimizer").target)
    ]
    return farthest(*ways)


SPECTRA = ((1.0, 2.0, 3.0), (99.0, 100.0, 101.0), (4998.0, 4999.0, 5000.0))


def _blocks(seed: int) -> Problem:
    """½ Σ over blocks of wᵀHw, w the rows of a 3 × 30 matrix, H dense with ten eigenvalues near each of three."""
    random = torch.Generator().manual_seed(seed)
    hessians = []
    for values in SPECTRA:
        turn = torch.linalg.qr(torch.randn(30, 30, generator=random, dtype=torch.float64))[0]
        hessians.append(turn @ torch.diag(torch.tensor(values * 10, dtype=torch.float64)) @ turn.mT)
    h = torch.stack(hessians)
    start = torch.randn(3, 30, generator=random, dtype=torch.float64)
    return Problem("blocks", lambda w: 0.5 * torch.einsum("bi,bij,bj->", w, h, w), start, 0.0)


def _ended(method: Any, seed: int, lr: float, steps: int = 150) -> float:
    run = descend(
        _blocks(seed), method, steps, lr=lr, schedule=lambda t: 1 - t / steps, **_without_momentum(method)
    )
    return run.losses[-1]


def _without_momentum(method: Any) -> dict[str, Any]:
    return {} if method.__name__ == "SGD" else {"betas": (0.0, 0.99), "weight_decay": 0.0}


@claim(
    "AdamMini",
    MINI,
    kind="empirical",
    predicts=at_most(-0.3),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=6,
    cost="full",
    scale="three dense blocks of 30 with eigenvalues near 2, 100 and 5,000, 150 steps, the rate tuned and falling to 0",
)
def one_rate_a_dense_block_beats_adam(method: Any, seed: int) -> float:
    """Where the Hessian is made of dense blocks, one good rate for each block is better than Adam's one for each
    coordinate, which does not help within a block.

    The decimal logarithm of the loss over Adam's, down to -6 (both fall to nothing), both without momentum,
    β₂ = 0.99 and tuned, on a quadratic whose blocks are rows.
    """
    rates = (0.003, 0.01, 0.03, 0.1)
    mine = tuned(
        lambda lr: _ended(method, seed, lr), rates if method.__name__ != "SGD" else (1e-4, 2e-4, 3e-4), 8
    )
    adam = tuned(lambda lr: _ended(get("AdamW", "optimizer").target, seed, lr), rates, 8)
    return max(-6.0, math.log10(mine.score) - math.log10(adam.score))


@claim(
    "AdamMini",
    MINI,
    kind="empirical",
    predicts=at_most(1.1),
    tolerance=0.0,
    wrong=told("AdamMini", weight_decay=30.0),
    seeds=24,
    cost="full",
    scale="64-32-10 on digits, 100 steps of 100, the rate tuned and falling to 0",
)
def adam_mini_learns_what_adam_learns(method: Any, seed: int) -> float:
    """Adam-mini performs on par with AdamW or better.

    The loss on new digits over Adam's, both tuned.
    """
    return against(method, "Adam", seed, (0.01, 0.03, 0.1), (0.01, 0.03, 0.1))


@claim(
    "AdamMini",
    MINI,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=instead("AdamW"),
    seeds=3,
)
def a_neurons_own_basis_is_not_seen(method: Any, seed: int) -> float:
    """One rate for a neuron's weights leaves the geometry within it as it is: turning the inputs turns the path.

    The largest difference of two runs of 40 steps on gradients of 8 × 6, turned back.
    """
    draw = noise(seed, 8, 6)
    turn = torch.linalg.qr(noise(seed + 9, 6, 6)(0, torch.zeros(())))[0]
    start = torch.zeros(8, 6, dtype=torch.float64)
    plain = walk(method, start, draw, 40, lr=0.01)
    turned = walk(method, start, lambda t, w: draw(t, w) @ turn, 40, lr=0.01)
    return max(
        float((a @ turn - b).abs().max())
        for a, b in itertools.islice(zip(plain, turned, strict=True), 1, None)
    )
