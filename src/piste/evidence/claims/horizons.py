"""Noisy runs of several lengths, everything tuned: schedules against each other and against averages."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim
from ..tuning import tuned
from .papers import ADAGRAD, FREE
from .wrong import instead

STRAIGHT = "Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works Best for LLMs"
RUNS, SIZE = 24, 12  # rows of one parameter: rules that act on numbers keep them apart


class Noisy:
    """Quadratics ½ Σᵢ hᵢ (xᵢ - x*ᵢ)², h from 1 to 1/300, whose gradients carry Gaussian noise of deviation √hᵢ / 2."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.h = torch.logspace(0, -2.5, SIZE, dtype=torch.float64)
        self.target = torch.randn(RUNS, SIZE, generator=self.random, dtype=torch.float64)

    def slope(self, x: Tensor) -> Tensor:
        noise = torch.randn(RUNS, SIZE, generator=self.random, dtype=torch.float64)
        return self.h * (x - self.target) + 0.5 * self.h.sqrt() * noise

    def gap(self, x: Tensor) -> float:
        return float(0.5 * (self.h * (x - self.target).square()).sum(-1).mean())


def gaps(
    method: Any, seed: int, at: Sequence[int], schedule: Callable[[float], float], lr: float, **hyper: Any
) -> list[float]:
    """f - inf f after so many steps of one run, of the averaged weights where a method has them."""
    p, x, seen = Noisy(seed), torch.nn.Parameter(torch.zeros(RUNS, SIZE, dtype=torch.float64)), []
    opt = method([x], lr=lr, **hyper)
    for t in range(at[-1]):
        opt.param_groups[0]["lr"] = lr * schedule(t / at[-1])
        x.grad = p.slope(x.detach())
        opt.step()
        if t + 1 in at:
            with opt.averaged() if hasattr(opt, "averaged") else contextlib.nullcontext():
                seen.append(p.gap(x.detach()))
    return seen


def constant(share: float) -> float:
    return 1.0


def linear(share: float) -> float:
    return 1 - share


def cosine_to_a_tenth(share: float) -> float:
    return 0.1 + 0.45 * (1 + math.cos(math.pi * share))


def _of_adamw(name: str) -> Any:
    return get(name, "optimizer").target


HORIZONS = (25, 50, 100, 200)


@claim(
    "ScheduleFreeAdamW",
    FREE,
    kind="empirical",
    predicts=at_most(1.05),
    tolerance=0.0,
    wrong=instead("AdamW"),
    seeds=4,
    scale="24 noisy quadratics of 12 numbers, condition number 300, 25 to 200 steps",
)
def one_schedule_free_run_tracks_tuned_decay_at_four_horizons(method: Any, seed: int) -> float:
    """One run of schedule-free AdamW is, at every moment, as good as AdamW whose rate falls linearly to zero there.

    The geometric mean over four horizons of gap over gap: of one run, at the rate that is best for this mean, and of
    four runs with linear decay, each at a rate of its own.
    """
    rates, still = (0.05, 0.1, 0.2), {"weight_decay": 0.0}
    adamw = _of_adamw("AdamW")
    best = [
        tuned(lambda lr, t=t: gaps(adamw, seed, [t], linear, lr, **still)[0], rates).score for t in HORIZONS
    ]

    def behind(lr: float) -> float:
        once = gaps(method, seed, HORIZONS, constant, lr, **still)
        return math.exp(sum(math.log(a / b) for a, b in zip(once, best, strict=True)) / len(best))

    return tuned(behind, rates).score


def _constant_all_along(params: Any, lr: float, **hyper: Any) -> Any:
    """AdamW that does not hear of schedules."""
    opt = _of_adamw("AdamW")(params, lr=torch.tensor(lr), **hyper)
    step = opt.step

    def deaf() -> None:
        opt.param_groups[0]["lr"] = lr
        step()

    opt.step = deaf
    return opt


@claim(
    "AdamW",
    STRAIGHT,
    kind="empirical",
    predicts=at_most(0.99),
    tolerance=0.0,
    wrong=_constant_all_along,
    seeds=4,
    scale="24 noisy quadratics of 12 numbers, condition number 300, 400 steps",
)
def decay_to_zero_beats_cosine_to_a_tenth(method: Any, seed: int) -> float:
    """In long runs a rate that falls linearly to zero ends below one that falls to a tenth along a cosine.

    The gap of AdamW with linear decay over that with the cosine, each with a rate of its own.
    """
    rates = (0.03, 0.1, 0.3)
    own = tuned(lambda lr: gaps(method, seed, [400], linear, lr, weight_decay=0.0)[0], rates).score
    adamw = _of_adamw("AdamW")
    other = tuned(
        lambda lr: gaps(adamw, seed, [400], cosine_to_a_tenth, lr, weight_decay=0.0)[0], rates
    ).score
    return own / other


@claim(
    "Adagrad",
    ADAGRAD,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.99),
    seeds=5,
    scale="online logistic regression on 60 features that occur with frequencies k^-1.5, 12 streams of 200 rounds of 8",
)
def adagrad_learns_rare_features_sooner_than_sgd(method: Any, seed: int) -> float:
    """Where features are rare in very different degrees, rates of their own make up for it: AdaGrad's regret is below
    that of online gradient descent.

    The mean loss over all rounds, over that of SGD with 1/√t, both at their best rate.
    """
    random = torch.Generator().manual_seed(seed)
    often = torch.arange(1, 61, dtype=torch.float64) ** -1.5
    x = (torch.rand(200, 12, 8, 60, generator=random, dtype=torch.float64) < often).double()
    truth = 2 * torch.randn(12, 60, 1, generator=random, dtype=torch.float64)
    heads = torch.rand(200, 12, 8, 1, generator=random, dtype=torch.float64) < torch.sigmoid(x @ truth)
    signed = torch.where(heads, 1.0, -1.0) * x

    def total(tried: Any, lr: float, falling: bool) -> float:
        w = torch.nn.Parameter(torch.zeros(12, 60, dtype=torch.float64))
        opt, loss = tried([w], lr=lr), 0.0
        for t in range(200):
            opt.param_groups[0]["lr"] = lr / math.sqrt(1 + t) if falling else lr
            margin = (signed[t] @ w.detach().unsqueeze(2)).squeeze(2)
            loss += float(torch.nn.functional.softplus(-margin).mean())
            w.grad = -(torch.sigmoid(-margin).unsqueeze(1) @ signed[t]).squeeze(1) / 8
            opt.step()
        return loss

    own = tuned(lambda lr: total(method, lr, False), (0.1, 0.3, 1.0)).score
    return own / tuned(lambda lr: total(get("SGD", "optimizer").target, lr, True), (1.0, 3.0, 10.0)).score
