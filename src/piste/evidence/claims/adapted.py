"""Distances that are estimated: D-Adaptation and Prodigy."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_least, at_most, claim, equal
from ..problems import least_absolute
from ..tuning import steps_to, tuned
from .parameter_free import Gradient, drawn, exact, gap, scale_matters, start_of
from .rows import Rows, classes
from .wrong import instead, scaled, told

DADAPT = "Learning-Rate-Free Learning by D-Adaptation"
PRODIGY = "Prodigy: An Expeditiously Adaptive Parameter-Free Learner"


def estimates(method: Any, start: Tensor, gradient: Gradient, steps: int, **hyper: Any) -> list[float]:
    """d after every step."""
    w = torch.nn.Parameter(start.clone())
    opt, found = method([w], **hyper), []
    for t in range(steps):
        w.grad = gradient(t, w.detach())
        opt.step()
        found.append(float(opt.state[w].get("d", torch.tensor(0.0))))
    return found


def cosine_gap(method: Any, f: Rows, seed: int, steps: int = 1000, **hyper: Any) -> float:
    """With a rate that falls to 0 along a half cosine."""
    gradient = drawn(f, seed, 4)
    w = torch.nn.Parameter(start_of(f))
    opt = method([w], **hyper)
    rate = opt.param_groups[0]["lr"]
    for t in range(steps):
        opt.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * t / steps)) / 2
        w.grad = gradient(t, w.detach())
        opt.step()
    return gap(f, w.detach())


def behind_tuned(method: Any, name: str, seed: int, **hyper: Any) -> float:
    """The decimal logarithm of the gap over that of the named method at its best rate, both with a cosine: logistic
    regression, batches of 4, 1,000 steps."""
    f = classes(seed, ridge=0.01)
    other = get(name, "optimizer").target
    best = tuned(lambda lr: cosine_gap(other, f, seed, lr=lr, **hyper), [0.003, 0.03, 0.3]).score
    return math.log10(cosine_gap(method, f, seed, lr=1.0, **hyper) / best)


def _share(method: Any, seed: int, order: float) -> list[float]:
    """d over the distance from the start to the solution, in that norm, along 300 exact steps on least absolute
    errors."""
    p = least_absolute(seed=seed)
    assert p.minimizer is not None
    away = float(torch.linalg.vector_norm(p.minimizer - p.start, order))
    return [d / away for d in estimates(method, p.start, exact(p), 300, lr=1.0)]


@claim(
    "DAdaptSGD",
    DADAPT,
    kind="theorem",
    predicts=at_most(2.0),
    tolerance=1e-9,
    wrong=told("DAdaptSGD", d0=100.0),
    seeds=4,
)
def the_estimate_bounds_the_distance_from_below(method: Any, seed: int) -> float:
    """On convex functions d̂ = Σ λ⟨g, s⟩ / ‖s‖ never exceeds the distance D from the start to a solution, however steps
    are taken; SGD's d is at most twice that.

    The largest d / D of 300 exact steps on least absolute errors.
    """
    return max(_share(method, seed, 2))


@claim(
    "DAdaptSGD",
    DADAPT,
    kind="empirical",
    predicts=at_least(0.1),
    tolerance=0.0,
    wrong=told("DAdaptSGD", growth_rate=1.001),
    seeds=4,
    scale="least absolute errors with 40 rows and 6 columns, 300 exact steps, d₀ = 1e-6",
)
def the_estimate_comes_near_the_distance(method: Any, seed: int) -> float:
    """From a tiny d₀ the estimate grows to the order of the distance D, within a constant.

    The last d / D.
    """
    return _share(method, seed, 2)[-1]


@claim(
    "DAdaptSGD", DADAPT, kind="empirical", predicts=at_most(0.0), tolerance=0.3, wrong=scaled("DAdaptSGD", 1e-3),
    seeds=8, scale="logistic regression with 60 rows and 5 columns, batches of 4, 1,000 steps, a cosine",
    cost="full",
)  # fmt: skip
def dadapt_sgd_matches_hand_tuned_sgd(method: Any, seed: int) -> float:
    """D-Adaptation matches hand-tuned rates: SGD's.

    The decimal logarithm of its gap over that of SGD at its best rate, both with a cosine; momentum 0.9. A factor of
    two is taken for a match.
    """
    return behind_tuned(method, "SGD", seed, momentum=0.9)


@claim(
    "DAdaptAdam", DADAPT, kind="empirical", predicts=at_most(0.0), tolerance=0.3, wrong=scaled("DAdaptAdam", 1e-3),
    seeds=8, scale="logistic regression with 60 rows and 5 columns, batches of 4, 1,000 steps, a cosine",
    cost="full",
)  # fmt: skip
def dadapt_adam_matches_hand_tuned_adam(method: Any, seed: int) -> float:
    """D-Adaptation matches hand-tuned rates: Adam's.

    The decimal logarithm of its gap over that of Adam at its best rate, both with a cosine. A factor of two is taken
    for a match.
    """
    return behind_tuned(method, "Adam", seed)


@claim(
    "DAdaptAdam",
    DADAPT,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("SGD"),
    seeds=3,
)
def dadapt_adam_does_not_see_the_scale_of_the_loss(method: Any, seed: int) -> float:
    """D-Adaptation's Adam is as free of the scale of the loss as Adam is: its path is the same for f and 1000 f.

    The distance of both paths over 30 noisy steps, over the way that was gone; ε = 1e-30.
    """
    return scale_matters(method, seed, **{"lr": 1.0, "eps": 1e-30, "d0": 1e-3})


@claim(
    "DAdaptLion",
    DADAPT,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.3,
    wrong=scaled("DAdaptLion", 1e-3),
    seeds=8,
    scale="logistic regression with 60 rows and 5 columns, batches of 4, 1,000 steps, a cosine",
    cost="full",
)
def dadapt_lion_matches_hand_tuned_lion(method: Any, seed: int) -> float:
    """D-Adaptation matches hand-tuned rates: Lion's (its authors call this variant experimental).

    The decimal logarithm of its gap over that of Lion at its best rate, both with a cosine. A factor of two is taken
    for a match.
    """
    return behind_tuned(method, "Lion", seed)


@claim(
    "DAdaptLion",
    DADAPT,
    kind="empirical",
    predicts=at_most(100.0),
    tolerance=0.0,
    wrong=instead("Lion"),
    seeds=3,
    scale="a linear loss of 12 numbers, d₀ = 1e-6",
)
def dadapt_lion_finds_its_rate_within_tens_of_steps(method: Any, seed: int) -> float:
    """The estimate grows exponentially while all gradients agree.

    Steps until the weights have moved by 1 on a linear loss, from d₀ = 1e-6.
    """
    g = torch.randn(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    w = torch.nn.Parameter(torch.zeros(12, dtype=torch.float64))
    opt = method([w], lr=1.0 if method.__name__ == "DAdaptLion" else 1e-6)
    for t in range(1000):
        w.grad = g
        opt.step()
        if float(w.detach().abs().max()) >= 1:
            return float(t + 1)
    return 1000.0


@claim(
    "Prodigy", PRODIGY, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=told("Prodigy", d_coef=30.0),
    seeds=4,
)  # fmt: skip
def prodigys_estimate_bounds_the_distance_from_below(method: Any, seed: int) -> float:
    """On convex functions Prodigy's d never exceeds the largest coordinate D∞ of the way from the start to a solution,
    whatever steps are taken: Σ d²⟨g, x₀ - x⟩ ≤ ⟨s, x₀ - x*⟩ ≤ ‖s‖₁D∞.

    The largest d / D∞ of 300 exact steps on least absolute errors.
    """
    return max(_share(method, seed, math.inf))


@claim(
    "Prodigy",
    PRODIGY,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("Prodigy", growth_rate=1.02),
    seeds=4,
    scale="logistic regression with 60 rows and 5 columns, 600 exact steps, d₀ = 1e-6",
)
def prodigy_grows_its_rate_faster_than_d_adaptation(method: Any, seed: int) -> float:
    """Prodigy grows its estimate faster than D-Adaptation does (here: the present version of its Adam).

    Steps until d is a tenth of what D-Adaptation's has come to after 600 steps, over the steps that it took.
    """
    f = classes(seed, ridge=0.01)
    adapt = get("DAdaptAdam", "optimizer").target
    other, mine = (
        estimates(one, start_of(f), lambda _, x: f.gradient(x), 600, lr=1.0) for one in (adapt, method)
    )
    goal = -0.1 * other[-1]
    return min(steps_to([-d for d in mine], goal), 600.0) / steps_to([-d for d in other], goal)


@claim(
    "Prodigy", PRODIGY, kind="empirical", predicts=at_most(0.0), tolerance=0.3, wrong=scaled("Prodigy", 1e-3),
    seeds=8, scale="logistic regression with 60 rows and 5 columns, batches of 4, 1,000 steps, a cosine",
    cost="full",
)  # fmt: skip
def prodigy_comes_near_hand_tuned_adam(method: Any, seed: int) -> float:
    """Prodigy's results are close to those of hand-tuned Adam.

    The decimal logarithm of its gap over that of Adam at its best rate, both with a cosine. A factor of two is taken
    for close.
    """
    return behind_tuned(method, "Adam", seed)
