"""Second moments of rank one: Adafactor and CAME."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from .identities import noise
from .lean import against, flat, kept, outer
from .wrong import instead, told

ADAFACTOR = "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost"
CAME = "CAME: Confidence-guided Adaptive Memory Efficient Optimization"

PLAIN: dict[str, Any] = dict(scale_parameter=False, relative_step=False, d=1e9)


@claim(
    "Adafactor",
    ADAFACTOR,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.0,
    wrong=instead("AdamW"),
    seeds=1,
)
def adafactor_keeps_a_number_for_each_row_and_column(method: Any, seed: int) -> float:
    """The second moments of an m × n matrix take O(m + n) of memory.

    Its numbers over m + n, the case farthest from 1 of 64 × 64, 48 × 200 and 300 × 20.
    """
    seen = [kept(method, m, n) / 4 / (m + n) for m, n in ((64, 64), (48, 200), (300, 20))]
    return max(seen, key=lambda x: abs(x - 1))


@claim(
    "Adafactor",
    ADAFACTOR,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=told("Adafactor", beta2_decay=-0.2),
    seeds=3,
)
def squares_of_rank_one_are_kept_whole(method: Any, seed: int) -> float:
    """Where the average of squared gradients has rank one its factors lose nothing: the step is that of the full second
    moments, averaged with β₂ = 1 - t^-0.8.

    The largest difference from g / √v over 30 steps, without clipping and relative steps; 7 × 11, squares of sizes that
    are lognormal from step to step.
    """
    draw, worst = outer(seed, 7, 11), 0.0
    steps, v = flat(method, lambda t: draw(t)[0], 30, **PLAIN), torch.zeros(7, 11, dtype=torch.float64)
    for t, u in enumerate(steps, start=1):
        g = draw(t - 1)[0]
        v = v + (g.square() - v) * t**-0.8
        worst = max(worst, float((u - g / v.sqrt()).abs().max()))
    return worst


def _divergence(p: Tensor, q: Tensor) -> float:
    """The generalized Kullback-Leibler divergence, or I-divergence, of q from p."""
    return float((p * (p / q).log() - p + q).sum())


@claim(
    "Adafactor",
    ADAFACTOR,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("Adafactor", eps=(5.0, 1e-3)),
    seeds=3,
)
def no_rank_one_matrix_is_nearer_in_the_i_divergence(method: Any, seed: int) -> float:
    """Of all matrices of rank one that of the row sums times the column sums over the total has the least I-divergence
    to a matrix that is not negative.

    That divergence for the second moments that the first step divides by, over the least one of 300 others of rank one:
    its factors, disturbed by 0.01 to 30 %, and the squares' leading singular vectors; 7 × 11, normal gradients.
    """
    g = noise(seed, 7, 11)(0, torch.zeros(()))
    (u,) = flat(method, lambda t: g, 1, **PLAIN)
    p, q = g.square(), (g / u).square()
    random = torch.Generator().manual_seed(seed)
    left, s, right = torch.linalg.svd(p)
    others = [s[0] * torch.outer(left[:, 0].abs(), right[0].abs())]
    for k in range(299):
        r, c = (
            (10 ** (-4 + 3.5 * k / 298) * torch.randn(n, generator=random, dtype=torch.float64)).exp()
            for n in (7, 11)
        )
        others.append(q * torch.outer(r, c))
    return _divergence(p, q) / min(_divergence(p, x) for x in others)


@claim(
    "Adafactor",
    ADAFACTOR,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("Adafactor", d=100.0),
    seeds=3,
)
def clipped_steps_stay_within_their_share_of_the_weights(method: Any, seed: int) -> float:
    """With updates clipped at d = 1 no step is longer, in its root mean square, than min(1e-2, 1/√t) max(1e-3, RMS(x)),
    whatever gradients come.

    The largest ratio of the two over 60 steps, 12 × 9, with gradients that are Cauchy.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    w = torch.nn.Parameter(torch.randn(12, 9, generator=random, dtype=torch.float64))
    opt = method([w], lr=1e-2)
    for t in range(1, 61):
        before = w.detach().clone()
        a, b = torch.randn(2, 12, 9, generator=random, dtype=torch.float64)
        w.grad = a / b * math.exp(float(torch.randn((), generator=random)))
        opt.step()
        most = min(1e-2, t**-0.5) * max(1e-3, float(before.square().mean().sqrt()))
        worst = max(worst, float((w.detach() - before).square().mean().sqrt()) / most)
    return worst


@claim(
    "Adafactor",
    ADAFACTOR,
    kind="empirical",
    predicts=at_most(1.1),
    tolerance=0.0,
    wrong=told("Adafactor", weight_decay=30.0),
    seeds=24,
    cost="full",
    scale="64-32-10 on digits, 100 steps of 100, the rate tuned and falling to 0, β₁ = 0.9 on either side",
)
def adafactor_learns_what_adam_learns(method: Any, seed: int) -> float:
    """Adafactor reaches results comparable to Adam's.

    The loss on new digits over Adam's, both tuned; both with a momentum.
    """
    still: dict[str, Any] = dict(relative_step=False, scale_parameter=False, beta1=0.9)
    return against(method, "Adam", seed, (0.01, 0.03, 0.1), (0.01, 0.03, 0.1), **still)


@claim(
    "CAME",
    CAME,
    kind="theorem",
    predicts=equal(2.0),
    tolerance=0.0,
    wrong=instead("AdamW"),
    seeds=1,
)
def confidence_costs_two_vectors_beside_the_momentum(method: Any, seed: int) -> float:
    """CAME has the memory of Adafactor with a momentum but for the factors of one more matrix: mn + 2(m + n) numbers.

    What it keeps beside mn over m + n, the case farthest from 2 of 64 × 64, 48 × 200 and 300 × 20.
    """
    seen = [(kept(method, m, n) / 4 - m * n) / (m + n) for m, n in ((64, 64), (48, 200), (300, 20))]
    return max(seen, key=lambda x: abs(x - 2))


@claim(
    "CAME",
    CAME,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("CAME", betas=(0.9, 0.999, 0.99)),
    seeds=3,
)
def on_squares_of_rank_one_confidence_is_exact(method: Any, seed: int) -> float:
    """Confidence divides the momentum by the root of an average of (û - m)², which factors keep whole where its rank is
    one.

    The largest difference, relative to the step, from all of it with full matrices over 30 steps, unclipped; 7 × 11,
    gradients of fixed signs and lognormal sizes, β = (0.9, 0.999, 0.9999).
    """
    draw, worst = outer(seed, 7, 11), 0.0
    steps = flat(method, lambda t: draw(t)[0], 30, clip_threshold=1e9)
    v, m, s = torch.zeros(3, 7, 11, dtype=torch.float64)
    for t, seen in enumerate(steps):
        g = draw(t)[0]
        v = 0.999 * v + 0.001 * g.square()
        u = g / v.sqrt()
        m = 0.9 * m + 0.1 * u
        s = 0.9999 * s + 0.0001 * (u - m).square()
        want = m / s.sqrt()
        worst = max(worst, float(((seen - want) / want).abs().max()))
    return worst


@claim(
    "CAME",
    CAME,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("CAME", weight_decay=30.0),
    seeds=24,
    cost="full",
    scale="64-32-10 on digits, 100 steps of 100, the rate tuned and falling to 0",
)
def came_learns_faster_than_adafactor(method: Any, seed: int) -> float:
    """CAME converges faster than Adafactor.

    The loss on new digits over that of Adafactor with relative steps, both tuned.
    """
    return against(method, "Adafactor", seed, (0.0006, 0.002, 0.006), (0.1, 0.3, 1.0))
