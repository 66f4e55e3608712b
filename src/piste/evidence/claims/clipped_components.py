"""Clips by component, by unit and by z-score."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from ..._registry import get
from ..._transform import chain
from ...transforms.clipping import (
    clip_by_component_norm,
    clip_by_global_norm,
    clip_by_unit_norm,
    clip_by_zscore,
)
from ...transforms.decay import descend
from ..claim import at_least, at_most, claim, equal
from ..methods import of_chain
from ..tuning import tuned
from .noise import student

COMPONENTS = (
    "Improving Stability of Fine-Tuning Pretrained Language Models via Component-Wise Gradient Norm Clipping"
)
ZCLIP = "ZClip: Adaptive Spike Mitigation for LLM Pre-Training"
NFNETS = "High-Performance Large-Scale Image Recognition Without Normalization"

by_component = of_chain(lambda lr, most: chain(clip_by_component_norm(most), descend(lr)))
by_all = of_chain(lambda lr, most: chain(clip_by_global_norm(most), descend(lr)))


@claim(
    "clip_by_component_norm",
    COMPONENTS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=by_all,
    subject=by_component,
    seeds=3,
)
def a_fast_component_does_not_slow_the_others(method: Any, seed: int) -> float:
    """Clipping each component by its own norm adjusts its speed by itself: how long one component's gradient is does
    not bear on the steps of the others.

    The difference of the second component's step where the first one's gradient is 1e4 times as long, relative to it.
    """
    random, steps = torch.Generator().manual_seed(seed), []
    first, second = (torch.randn(5, 4, generator=random, dtype=torch.float64) for _ in range(2))
    for times in (1.0, 1e4):
        w = [torch.nn.Parameter(torch.zeros(5, 4, dtype=torch.float64)) for _ in range(2)]
        w[0].grad, w[1].grad = times * first, second.clone()
        method(w, lr=1.0, most=1.0).step()
        steps.append(w[1].detach())
    return float((steps[0] - steps[1]).norm() / steps[0].norm())


@claim(
    "clip_by_component_norm",
    COMPONENTS,
    kind="empirical",
    predicts=at_most(0.8),
    tolerance=0.0,
    wrong=by_all,
    subject=by_component,
    seeds=4,
    cost="full",
    scale="two quadratics of 20 numbers, one with Student's noise of 1.1 degrees of freedom; 150 steps of SGD behind "
    "the clip, threshold 1",
)
def components_clipped_apart_descend_faster_than_together(method: Any, seed: int) -> float:
    """Components learn at different speeds: clipped each by its own norm they learn faster than clipped by the norm of
    all.

    The mean distance to the minimum over the last 50 steps of both components together, relative to clipping by the
    global norm, the rates of both tuned for it.
    """

    def distance(used: Any, lr: float) -> float:
        noise, random = student(seed, 1.1), torch.Generator().manual_seed(seed)
        w = [torch.nn.Parameter(torch.ones(20, dtype=torch.float64)) for _ in range(2)]
        opt, total = used(w, lr=lr, most=1.0), 0.0
        for t in range(150):
            quiet = 0.1 * torch.randn(20, generator=random, dtype=torch.float64)
            w[0].grad, w[1].grad = w[0].detach() + quiet, w[1].detach() + 3 * noise(20)
            opt.step()
            total += sum(float(p.detach().norm()) for p in w) if t >= 100 else 0.0
        return total

    rates = (0.025, 0.1, 0.4)
    ours, theirs = (tuned(lambda lr, used=used: distance(used, lr), rates).score for used in (method, by_all))
    return ours / theirs


zscored = of_chain(lambda lr, most: chain(clip_by_zscore(max_norm=1e9), descend(lr)))


@claim(
    "clip_by_zscore",
    ZCLIP,
    kind="identity",
    predicts=equal(-1.0),
    tolerance=0.05,
    wrong=by_all,
    subject=zscored,
    seeds=3,
)
def the_larger_the_spike_the_closer_to_the_mean_it_is_cut(method: Any, seed: int) -> float:
    """A norm with the z-score z above the threshold is cut to μ + σz₀²/z: the larger the spike, the harder.

    The power of the spike's size by which the step's excess over the mean norm changes between spikes of 10 and 1,000
    times the mean, after 60 norms with a deviation of 10 %.
    """
    excess = []
    for spike in (10.0, 1000.0):
        random = torch.Generator().manual_seed(seed)
        norms = [1 + 0.1 * float(torch.randn((), generator=random)) for _ in range(60)]
        w = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        opt, mean = method([w], lr=1.0, most=5.0), sum(norms[:25]) / 25
        for norm in [*norms, spike]:
            w.grad, before = torch.tensor([0.0, norm, 0.0], dtype=torch.float64), w.detach().clone()
            opt.step()
            moved = float((w.detach() - before).norm())
            mean = mean if norm in norms[:25] or norm == spike else 0.97 * mean + 0.03 * moved
        excess.append(moved - mean)
    return math.log(abs(excess[1] / excess[0])) / math.log(100.0)


@claim(
    "clip_by_zscore",
    ZCLIP,
    kind="empirical",
    predicts=at_most(0.0),
    tolerance=0.0,
    wrong=by_all,
    subject=zscored,
    seeds=4,
    scale="½‖x‖² in 50 dimensions from ‖x‖ = 0.02, noise that falls with the slope, one gradient in 40 is 100 times as "
    "long and goes anywhere; 300 steps of 0.01, fixed threshold 1",
)
def zscores_remove_the_spikes_that_a_fixed_threshold_lets_through(method: Any, seed: int) -> float:
    """Since the threshold follows the norms down, ZClip removes loss spikes that a fixed threshold lets through.

    How many steps raise the loss by more than a half.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.nn.Parameter(torch.full((50,), 0.02 / 50**0.5, dtype=torch.float64))
    opt, spikes, before = method([x], lr=0.01, most=1.0), 0, 4e-4
    for t in range(300):
        size = x.detach().norm() / 50**0.5
        drawn = torch.randn(50, generator=random, dtype=torch.float64)
        wild = t > 60 and float(torch.rand((), generator=random)) < 1 / 40
        x.grad = x.detach() + (100.0 if wild else 0.3) * size * drawn
        opt.step()
        loss = float(x.detach().square().sum())
        spikes += loss > 1.5 * before
        before = loss
    return float(spikes)


adaptive = of_chain(lambda lr, clipping: chain(clip_by_unit_norm(clipping, 1e-3), descend(lr)))


@claim(
    "clip_by_unit_norm",
    NFNETS,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=of_chain(lambda lr, clipping: chain(clip_by_global_norm(clipping), descend(lr))),
    subject=adaptive,
    seeds=3,
)
def no_unit_moves_by_more_than_its_share_of_itself(method: Any, seed: int) -> float:
    """With adaptive gradient clipping no unit's weights change by more than λη of their own norm (or of 1e-3, where
    they are shorter), however long its gradient.

    The largest ratio of a row's change to that, over 50 steps on Gaussian gradients from 1e-3 to 1e3 long, weights of
    lengths from 1e-2 to 10, λ = 0.05, η = 0.5.
    """
    random = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-2, 1, 6, dtype=torch.float64).unsqueeze(1)
    w = torch.nn.Parameter(sizes * torch.randn(6, 8, generator=random, dtype=torch.float64))
    opt, worst = method([w], lr=0.5, clipping=0.05), 0.0
    for t in range(50):
        w.grad = 10.0 ** (t % 7 - 3) * torch.randn(6, 8, generator=random, dtype=torch.float64)
        before = w.detach().clone()
        opt.step()
        most = 0.05 * 0.5 * before.norm(dim=1).clamp(min=1e-3)
        worst = max(worst, float(((w.detach() - before).norm(dim=1) / most).max()))
    return worst


def _trains(used: Any, lr: float, seed: int) -> bool:
    """Whether a ReLU network of six layers without normalization at least halves its loss in 60 steps."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 10, generator=random, dtype=torch.float64)
    y = torch.sin(x @ torch.randn(10, 1, generator=random, dtype=torch.float64))
    sides = [10, 16, 16, 16, 16, 16, 1]
    w = [
        torch.nn.Parameter((2 / n) ** 0.5 * torch.randn(m, n, generator=random, dtype=torch.float64))
        for n, m in itertools.pairwise(sides)
    ]
    opt, losses = used(w, lr=lr, clipping=0.02), []
    for _ in range(60):
        opt.zero_grad()
        h = x
        for layer in w[:-1]:
            h = (h @ layer.mT).clamp_min(0)
        loss = (h @ w[-1].mT - y).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        opt.step()
    return bool(losses[-1] < 0.5 * losses[0])


@claim(
    "clip_by_unit_norm",
    NFNETS,
    kind="empirical",
    predicts=at_least(1.0),
    tolerance=0.0,
    wrong=lambda params, lr, clipping: get("SGD", "optimizer").target(params, lr=lr),
    subject=adaptive,
    seeds=4,
    cost="full",
    scale="six ReLU layers of 16 units on 64 points, full batch, 60 steps, λ = 0.02; rates 2⁻⁶ to 2⁵",
)
def adaptive_clipping_bears_larger_rates_without_normalization(method: Any, seed: int) -> float:
    """Networks without normalization train with larger rates where gradients are clipped by unit relative to the
    weights.

    log₂ of the largest rate at which the loss is halved, less that of plain gradient descent.
    """

    def largest(used: Any) -> int:
        return max((k for k in range(-6, 6) if _trains(used, 2.0**k, seed)), default=-7)

    plain = get("SGD", "optimizer").target
    return float(largest(method) - largest(lambda params, lr, clipping: plain(params, lr=lr)))
