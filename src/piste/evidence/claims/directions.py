"""Which way from one rule and how far from another: Grams, Ano, cautious steps, and signs."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, claim, equal
from .identities import CAUTIOUS, farthest, noise, walk
from .races import NET, _fewest
from .races import RATES as RACED
from .signs import SIGN
from .stochastic import draws, run
from .tuned_digits import SCALE, best, best_of
from .wrong import instead, told

GRAMS = "Grams: Gradient Descent with Adaptive Momentum Scaling"
ANO = "ANO : Faster is Better in Noisy Landscape"


def _steps(points: list[Tensor]) -> list[Tensor]:
    return [b - a for a, b in itertools.pairwise(points)]


@claim(
    "Grams",
    GRAMS,
    kind="theorem",
    predicts=at_least(0.0),
    tolerance=1e-9,
    wrong=instead("Adam"),
    seeds=3,
)
def grams_goes_down_faster_than_adam_and_its_cautious_form(method: Any, seed: int) -> float:
    """To first order a step of Grams lowers the loss by ⟨|g|, |u|⟩ for Adam's u, which is at least what Adam's ⟨g, u⟩
    and the masked ⟨g, u [gu > 0]⟩ do.

    The least of (descent of Grams less the larger of theirs), over 60 steps on the same random gradients, 30 numbers.
    """
    draw = noise(seed, 30)
    adam = _steps(walk(instead("Adam", eps=1e-12), torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.01))
    own = _steps(walk(method, torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.01, eps=1e-12))
    worst = 1.0
    for t, (a, b) in enumerate(zip(adam, own, strict=True)):
        g = draw(t, a)
        masked = torch.where(a * g < 0, a, 0.0)
        worst = min(worst, float(-(g * b).sum() - torch.maximum(-(g * a).sum(), -(g * masked).sum())))
    return worst


@claim(
    "Grams",
    GRAMS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-7,
    wrong=instead("Lion"),
    seeds=2,
)
def grams_steps_are_adams_with_the_gradients_sign(method: Any, seed: int) -> float:
    """Every coordinate moves as far as Adam's, against the sign of the gradient.

    The largest |Δ + sign(g)|Δ_Adam|| over 60 steps on the same random gradients, over the rate; ε = 1e-12 in both.
    """
    draw = noise(seed, 30)
    adam = _steps(walk(instead("Adam", eps=1e-12), torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.01))
    own = _steps(walk(method, torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.01, eps=1e-12))
    want = [-draw(t, a).sign() * a.abs() for t, a in enumerate(adam)]
    return farthest(own, want) / 0.01


@claim(
    "Grams",
    GRAMS,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("Grams", lr=1e-5),
    seeds=6,
    cost="full",
    scale=SCALE,
)
def grams_ends_lower_than_adamw_lion_and_cautious_adamw(method: Any, seed: int) -> float:
    """Grams reaches lower losses than AdamW, Lion and C-AdamW.

    Its loss on new digits over the least of theirs.
    """
    peers = min(best_of(("AdamW", "CautiousAdamW"), seed), _lion(seed))
    return best(method, seed) / peers


@functools.cache
def _lion(seed: int) -> float:
    return best(get("Lion", "optimizer").target, seed, (2.5e-4, 1e-3, 4e-3))


@claim(
    "Ano",
    ANO,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=instead("Adam"),
    seeds=2,
)
def ano_takes_no_length_from_its_momentum(method: Any, seed: int) -> float:
    """Momentum decides on directions only: the size of a step is the same with any β₁.

    The largest difference of |Δ| over the rate between β₁ = 0 and β₁ = 0.99, 60 steps on the same random gradients.
    """
    draw, sizes = noise(seed, 30), []
    for beta in (0.0, 0.99):
        points = walk(method, torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.01, betas=(beta, 0.99))
        sizes.append([step.abs() for step in _steps(points)])
    if method.__name__ == "Adam":  # which was not told the betas
        sizes[0] = [
            s.abs() for s in _steps(walk(instead("Adam", betas=(0.0, 0.99)), points[0], draw, 60, lr=0.01))
        ]
    return farthest(*sizes) / 0.01


@claim(
    "Ano",
    ANO,
    kind="theorem",
    predicts=at_least(0.5),
    tolerance=0.0,
    wrong=instead("Adam"),
    in_mean=True,
    seeds=3,
)
def anos_steps_do_not_shrink_with_noise(method: Any, seed: int) -> float:
    """Where gradients are mostly noise an average of them is short, and Adam's steps with it, while Ano's are as long
    as a gradient is to its root mean square.

    The mean step over the rate from step 100 to 300 on pure noise N(0, 1), 100 numbers: E|g| / √(E g²) = 0.80 without
    the fluctuations of v; Adam's is about √((1-β₁)/(1+β₁)) 0.80 = 0.18. One half is taken for "not".
    """
    normal = draws(seed)
    points = run(method, torch.zeros(100, dtype=torch.float64), lambda _, x: normal(100), 300, lr=0.01)
    return float(points.diff(dim=0)[100:].abs().mean()) / 0.01


NOISE = 0.05


@claim(
    "Ano",
    ANO,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("Ano", lr=1e-5),
    seeds=6,
    cost="full",
    scale=SCALE + f"; gradients with noise of deviation {NOISE}",
)
def ano_ends_lower_than_adam_where_gradients_are_noisy(method: Any, seed: int) -> float:
    """Ano is more robust to noise in gradients than Adam: with noise injected it ends better.

    Its loss on new digits over Adam's.
    """
    return best(method, seed, noise=NOISE) / best_of(("Adam",), seed, noise=NOISE)


@claim(
    "CautiousAdamW",
    CAUTIOUS,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.9),
    seeds=4,
    cost="full",
    scale=NET + "; constant rates, each tuned",
)
def cautious_adamw_takes_fewer_steps_than_adamw(method: Any, seed: int) -> float:
    """One line makes AdamW faster (by up to 1.47 times in the authors' runs).

    Steps to the loss 0.1, of two nets, over those of AdamW, both at their best rate, without decay.
    """
    adamw = _fewest(get("AdamW", "optimizer").target, seed, RACED, weight_decay=0.0)
    return _fewest(method, seed, RACED) / adamw


@claim(
    "CautiousLion",
    CAUTIOUS,
    kind="theorem",
    predicts=at_least(0.0),
    tolerance=0.0,
    wrong=instead("Lion", betas=(0.95, 0.98)),
    seeds=3,
)
def cautious_lion_never_goes_uphill(method: Any, seed: int) -> float:
    """Masked where it disagrees with the gradient, no coordinate of Lion's step points uphill, and those that are left
    move by η d / (Σφ + 1).

    The least entry of -Δ ⊙ g over 60 steps of random gradients, less the largest deviation of |Δ| from that length
    where it is not 0 beyond rounding.
    """
    draw, worst = noise(seed, 30), 0.0
    points = walk(method, torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.1)
    for t, step in enumerate(_steps(points)):
        moved = step != 0
        long = 0.1 * 30 / (float(moved.sum()) + 1)
        uneven = float((step[moved].abs() - long).abs().max()) if bool(moved.any()) else 0.0
        worst = min(worst, float((-step * draw(t, step)).min()), 0.0 if uneven < 1e-12 else -uneven)
    return worst


@claim(
    "Signum",
    SIGN,
    kind="identity",
    predicts=equal(0.0),
    tolerance=0.0,
    wrong=told("Signum", momentum=0.5),
    seeds=2,
)
def signum_is_lion_with_one_average(method: Any, seed: int) -> float:
    """The sign of a momentum: with β₁ = β₂ Lion's two averages are one.

    The largest difference over 100 steps on the same random gradients, β = 0.9, with decay.
    """
    hyper = {"lr": 0.01, "weight_decay": 0.1}
    start = torch.ones(20, dtype=torch.float64)
    lion = get("Lion", "optimizer").target
    want = walk(lion, start, noise(seed, 20), 100, betas=(0.9, 0.9), **hyper)
    return farthest(walk(method, start, noise(seed, 20), 100, momentum=0.9, **hyper), want)


@claim(
    "SignSGD",
    SIGN,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("Signum", momentum=0.9),
    seeds=2,
)
def adam_without_memory_is_signsgd(method: Any, seed: int) -> float:
    """Adam and signSGD are one where β₁, β₂ and ε go to 0.

    The largest difference over 100 steps on the same random gradients, over the rate; Adam with β = (0, 0), ε = 1e-12.
    """
    adam, start = get("Adam", "optimizer").target, torch.zeros(20, dtype=torch.float64)
    want = walk(adam, start, noise(seed, 20), 100, lr=0.01, betas=(0.0, 0.0), eps=1e-12)
    return farthest(walk(method, start, noise(seed, 20), 100, lr=0.01), want) / 0.01
