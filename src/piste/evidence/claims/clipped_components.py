"""Clips by component, by unit and by z-score."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._transform import chain
from ...transforms.clipping import (
    clip_by_component_norm,
    clip_by_global_norm,
    clip_by_unit_norm,
    clip_by_zscore,
)
from ...transforms.decay import descend
from ..claim import at_most, claim, equal
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


@claim(
    "clip_by_unit_norm",
    NFNETS,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=of_chain(lambda lr, clipping: chain(clip_by_global_norm(clipping), descend(lr))),
    subject=adaptive,
    seeds=3,
)
def clipping_by_unit_looks_at_ratios_to_the_weights_alone(method: Any, seed: int) -> float:
    """Adaptive clipping looks at the ratio of a unit's gradient to its weights: a unit whose weights and gradient are
    multiplied by one number takes the same step relative to itself.

    The largest difference of the relative steps of 6 units with those of the same ones multiplied by 0.1 to 100, over
    the largest of these steps; half of the gradients are above the threshold of 0.1.
    """
    random = torch.Generator().manual_seed(seed)
    weights, slopes = torch.randn(2, 6, 8, generator=random, dtype=torch.float64).unbind()
    slopes = slopes * torch.tensor([0.01, 1.0] * 3, dtype=torch.float64).unsqueeze(1)
    moves = []
    for times in (torch.ones(6, 1), torch.logspace(-1, 2, 6).unsqueeze(1)):
        w = torch.nn.Parameter(times.double() * weights)
        w.grad = times.double() * slopes
        opt, before = method([w], lr=1.0, clipping=0.1), w.detach().clone()
        opt.step()
        moves.append((w.detach() - before) / times.double())
    return float((moves[0] - moves[1]).abs().max() / moves[0].abs().max())
