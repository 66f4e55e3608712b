"""What papers say of a method's other forms: averages that grow, other base rules, looser covers, masks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..problems import bent_regression
from .covers import SM3, _covers
from .directions import ANO
from .identities import CAUTIOUS, farthest, noise, walk
from .lean import flat, kept
from .lookaheads import AHEAD
from .online_subspaces import ONLINE
from .quasar_convex import QUASAR, curvature_of_bent_regression, evaluations
from .signs import SIGN
from .stochastic import draws, run
from .subsets import SNSM
from .wrong import instead, scaled, told

ONES = torch.ones(30, dtype=torch.float64)


def _directions(method: Any, seed: int, steps: int, size: int) -> Tensor:
    """The signs of the steps on pure noise."""
    normal = draws(seed)
    points = run(method, torch.zeros(size, dtype=torch.float64), lambda _, x: normal(size), steps, lr=0.01)
    return points.diff(dim=0).sign()


@claim("Anolog", ANO, kind="identity", predicts=equal(0.0), tolerance=0.0, wrong=instead("Ano"), seeds=2)
def anologs_momentum_forgets_ever_more_slowly(method: Any, seed: int) -> float:
    """Anolog's momentum has β₁ = 1 - 1/log(t + 2), and no hyperparameter.

    The share of coordinates whose step has the sign of that average, 100 numbers, 300 steps of noise.
    """
    normal, m, wrong = draws(seed), torch.zeros(100, dtype=torch.float64), 0.0
    for t, direction in enumerate(_directions(method, seed, 300, 100), 1):
        m = m + (normal(100) - m) / math.log(t + 2)
        wrong += float((direction != -m.sign()).double().mean()) / 300
    return wrong


@claim(
    "Anolog", ANO, kind="theorem", predicts=equal(1.0), tolerance=0.1, wrong=instead("Ano"), in_mean=True, seeds=4
)  # fmt: skip
def anologs_directions_grow_steadier(method: Any, seed: int) -> float:
    """The longer the run, the fewer directions turn from one step to the next: of Gaussian noise arccos(β₁)/π, which
    Ano's constant β₁ leaves as it is.

    The share that turns from step 300 to 400 over that, 2,000 numbers.
    """
    seen = _directions(method, seed, 400, 2000)[300:]
    turned = float((seen.diff(dim=0) != 0).double().mean())
    return turned / (math.acos(1 - 1 / math.log(352)) / math.pi)


@claim(
    "LookaheadAdamW", AHEAD, kind="identity", predicts=equal(0.0), tolerance=1e-12,
    wrong=told("LookaheadAdamW", alpha=1.0), seeds=2,
)  # fmt: skip
def looking_ahead_one_step_is_a_smaller_rate(method: Any, seed: int) -> float:
    """With k = 1 the slow weights go α of each step: AdamW's at α times the rate, decay and all.

    The largest difference to AdamW over 60 steps on the same random gradients, α = 0.3, λ = 0.1.
    """
    draw, hyper = noise(seed, 30), {"weight_decay": 0.1}
    want = walk(instead("AdamW", **hyper), ONES, draw, 60, lr=0.003)
    return farthest(walk(method, ONES, draw, 60, lr=0.01, k=1, alpha=0.3, **hyper), want)


@claim(
    "LookaheadAdamW", AHEAD, kind="empirical", predicts=at_most(0.8), tolerance=0.0,
    wrong=told("LookaheadAdamW", alpha=1.0), seeds=3, scale="½x² with noise, 400 numbers, 200 steps",
)  # fmt: skip
def slow_weights_quieten_adamw(method: Any, seed: int) -> float:
    """Lookahead lowers the variance of the optimizer it holds, Adam's too.

    The mean square of the slow weights over that of AdamW's weights from step 100 on, both at the rate 0.1 on ½x² with
    gradients of noise 1; k = 5, α = ½. A fifth less is taken for "lowers".
    """

    def steady(which: Any, every: int, **hyper: Any) -> float:
        normal = draws(seed)
        start = torch.zeros(400, dtype=torch.float64)
        points = run(which, start, lambda _, x: x + normal(400), 200, lr=0.1, weight_decay=0.0, **hyper)
        return float(points[100::every].square().mean())

    return steady(method, 5, k=5, alpha=0.5) / steady(instead("AdamW", weight_decay=0.0), 1)


@claim(
    "OnlineSubspaceLion", ONLINE, kind="identity", predicts=equal(0.0), tolerance=1e-9,
    wrong=told("OnlineSubspaceLion", rank=4, projection_lr=0.0), seeds=3,
)  # fmt: skip
def lion_in_a_space_of_all_directions_is_lion(method: Any, seed: int) -> float:
    """What is projected is the average: in a space of full rank that stands still the steps are Lion's own.

    The largest difference over 60 steps on the same random gradients, 6 × 10, over the rate.
    """
    start, draw = torch.zeros(6, 10, dtype=torch.float64), noise(seed, 6, 10)
    hyper = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.0}
    want = walk(instead("Lion", **{k: v for k, v in hyper.items() if k != "lr"}), start, draw, 60, lr=0.01)
    return farthest(walk(method, start, draw, 60, rank=6, projection_lr=0.0, **hyper), want) / 0.01


@claim(
    "OnlineSubspaceLion", ONLINE, kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=instead("Lion"), seeds=1
)  # fmt: skip
def lion_in_a_space_keeps_a_low_rank(method: Any, seed: int) -> float:
    """Its state has the rank of the space: r numbers for each row and each column, and what moves the space as much.

    The numbers kept over r(n + 3m), 64 × 300, r = 8: a momentum r × n, P and two moments of P.
    """
    return kept(method, 64, 300, **({"rank": 8} if method.__name__ != "Lion" else {})) / (
        4 * 8 * (300 + 3 * 64)
    )


@claim("SM3I", SM3, kind="theorem", predicts=at_least(1.0), tolerance=1e-9, wrong=instead("RMSProp"), seeds=4)
def the_first_covers_are_never_below_adagrads_sums(method: Any, seed: int) -> float:
    """At every step and for every entry what SM3-I divides by is at least AdaGrad's sum of squares.

    The least ratio of the two over 40 steps, 9 × 6 with rows that are active at times.
    """
    return min(float((nu / total).min()) for nu, total in _covers(method, seed))


@claim(
    "SM3I",
    SM3,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=instead("SM3", momentum=0.0),
    seeds=3,
)
def the_first_covers_add_up_the_largest_of_each_set(method: Any, seed: int) -> float:
    """SM3-I divides by the least, over the sets that an entry is in, of the sum over steps of the set's largest square.

    The largest difference of the steps to that by hand, 40 steps, 9 × 6, sets: rows and columns.
    """
    draw = noise(seed, 9, 6)
    slopes = [draw(t, ONES) for t in range(40)]
    rows = torch.stack([g.square().amax(1) for g in slopes]).cumsum(0)
    columns = torch.stack([g.square().amax(0) for g in slopes]).cumsum(0)
    want = [
        g / torch.minimum(r.unsqueeze(1).expand(9, 6), c.expand(9, 6)).sqrt()
        for g, r, c in zip(slopes, rows, columns, strict=True)
    ]
    hyper = {"momentum": 0.0} if method.__name__ == "SM3I" else {}
    return farthest(flat(method, slopes.__getitem__, 40, **hyper), want)


@claim("AdamSN", SNSM, kind="identity", predicts=equal(0.0), tolerance=1e-4, wrong=instead("Adam"), seeds=3)
def adam_by_subsets_has_one_rate_for_each_row(method: Any, seed: int) -> float:
    """Adam with Subset-Norm divides a row of the momentum by the root of an average of the row's squared norms.

    The largest relative difference of the steps to that by hand, 30 steps, 12 × 5, ε = 1e-8.
    """
    draw = noise(seed, 12, 5)
    slopes, want = [draw(t, ONES) for t in range(30)], []
    m, v = torch.zeros(12, 5, dtype=torch.float64), torch.zeros(12, 1, dtype=torch.float64)
    for t, g in enumerate(slopes, 1):
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g.norm(dim=1, keepdim=True) ** 2
        want.append(m / (1 - 0.9**t) / (v / (1 - 0.99**t)).sqrt())
    hyper = {"betas": (0.9, 0.99), "eps": 1e-12} if method.__name__ == "AdamSN" else {}
    return farthest(flat(method, slopes.__getitem__, 30, **hyper), want)


@claim("AdamSN", SNSM, kind="theorem", predicts=equal(1.0), tolerance=0.0, wrong=instead("Adam"), seeds=1)
def adam_by_subsets_keeps_a_second_moment_for_each_row(method: Any, seed: int) -> float:
    """Subset-Norm takes Adam's second moment of an m × n matrix from mn numbers to the longer of its sides.

    The numbers kept over mn + max(m, n), the case farthest from 1 of 64 × 64, 48 × 200 and 300 × 20.
    """
    seen = [kept(method, m, n) / 4 / (m * n + max(m, n)) for m, n in ((64, 64), (48, 200), (300, 20))]
    return max(seen, key=lambda x: abs(x - 1))


@claim(
    "CautiousAdamW", CAUTIOUS, kind="theorem", predicts=at_least(0.0), tolerance=0.0, wrong=instead("AdamW"), seeds=3
)  # fmt: skip
def cautious_adamw_never_goes_uphill(method: Any, seed: int) -> float:
    """Masked where it disagrees with the gradient, no coordinate of AdamW's step points uphill.

    The least entry of -Δ ⊙ g over 60 steps of random gradients.
    """
    draw = noise(seed, 30)
    points = torch.stack(walk(method, torch.zeros(30, dtype=torch.float64), draw, 60, lr=0.1))
    slopes = torch.stack([draw(t, ONES) for t in range(60)])
    return float((-points.diff(dim=0) * slopes).min())


@claim(
    "CautiousLion", CAUTIOUS, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=instead("Lion"), seeds=2
)  # fmt: skip
def cautious_lion_is_lion_where_they_agree(method: Any, seed: int) -> float:
    """Where no coordinate disagrees with its gradient the mask changes nothing but the rate, by d/(d+1).

    The largest difference to Lion at that rate over 60 steps of positive gradients, d = 30, over the rate.
    """
    draw, betas = noise(seed, 30), {"betas": (0.95, 0.98), "weight_decay": 0.0}

    def slope(t: int, w: Tensor) -> Tensor:
        return draw(t, w).abs()

    want = walk(instead("Lion", **betas), ONES, slope, 60, lr=0.01 * 30 / 31)
    return farthest(walk(method, ONES, slope, 60, lr=0.01), want) / 0.01


CURVES = 10 ** torch.linspace(0, -2, 20, dtype=torch.float64)


@claim(
    "SignSGD", SIGN, kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=scaled("SignSGD", 1e-3), seeds=4
)  # fmt: skip
def signs_reach_small_gradients_in_the_sum_of_magnitudes(method: Any, seed: int) -> float:
    """For a loss of curvature at most Lᵢ along coordinate i, signSGD of the rate √(2(f₀ - f*)/(K‖L‖₁)) has a mean ‖g‖₁
    over K steps of at most √(2‖L‖₁(f₀ - f*)/K): the dimension enters by the sum of curvatures only.

    The mean over the bound, K = 400: Σ Lᵢ (1 - cos xᵢ) in 20 dimensions, Lᵢ from 1 to 0.01, not convex. (The paper's
    theorem, for exact gradients; its constants are for stochastic ones with growing batches.)
    """
    start = 2 * draws(seed)(20)
    first, steps = float((CURVES * (1 - start.cos())).sum()), 400
    rate = math.sqrt(2 * first / (steps * float(CURVES.sum())))
    points = run(method, start, lambda _, x: CURVES * x.sin(), steps, lr=rate)[:-1]
    seen = float((CURVES * points.sin()).abs().sum(1).mean())
    return seen / math.sqrt(2 * float(CURVES.sum()) * first / steps)


@claim(
    "Signum", SIGN, kind="theorem", predicts=equal(1.0), tolerance=0.1, wrong=told("Signum", momentum=0.0),
    in_mean=True, seeds=4,
)  # fmt: skip
def momentum_makes_signs_right_more_often(method: Any, seed: int) -> float:
    """An average of gradients has less noise than one of them, so that its sign is wrong less often: for Gaussian noise
    of deviation σ around a slope s, with probability Φ(-s/σ √((1+μ)/(1-μ))).

    The share of steps uphill over that, s/σ = 0.2, μ = 0.9, 2,000 numbers from step 100 to 200.
    """
    normal, start = draws(seed), torch.zeros(2000, dtype=torch.float64)
    points = run(method, start, lambda _, x: 0.2 + normal(2000), 200, lr=0.01, momentum=0.9)
    uphill = float((points.diff(dim=0)[100:] > 0).double().mean())
    return uphill / (0.5 * math.erfc(0.2 * math.sqrt(19) / math.sqrt(2)))


@claim(
    "QASGD", QUASAR, kind="empirical", predicts=at_most(2.5), tolerance=0.0,
    wrong=instead("StochasticProximalPoint"), seeds=4,
    scale="regression through a bent link in 6 dimensions, 100 steps",
)  # fmt: skip
def the_search_of_qasgd_costs_little(method: Any, seed: int) -> float:
    """The search for the momentum takes O(log) evaluations at worst; its first guess mostly does.

    Evaluations a step, of which two are needed without a search.
    """
    p = bent_regression(seed=seed)
    return evaluations(method, p, 100, lr=0.1 / curvature_of_bent_regression(seed), gamma=0.4)
