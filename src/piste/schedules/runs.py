"""Whole runs: up, along and down."""

from __future__ import annotations

from ._schedule import Count, Shape, Steps, schedule
from .shapes import between, half_cosine, one_minus_sqrt, part


@schedule(warmup_and_cooldown_must_fit_into_steps=lambda warmup, cooldown, steps: warmup + cooldown <= steps)
def wsd(
    t: int,
    peak: float,
    steps: Steps,
    cooldown: Steps,
    warmup: Count = 0,
    end: float = 0.0,
    shape: Shape = one_minus_sqrt,
) -> float:
    """Warmup from 0, stable at ``peak``, decay to ``end`` by ``shape`` over the last ``cooldown`` steps.

    The authors find 1 - √x better than a line. The stable part does not know the end: train on, and
    branch a cooldown off wherever a result is wanted.

    Reference: "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", A. Hägele et al.,
    2024, https://arxiv.org/abs/2405.18392.
    Reference: "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies",
    S. Hu et al., 2024, https://arxiv.org/abs/2404.06395, which named it; its own decay is exponential.
    """
    if t < warmup:
        return peak * t / warmup
    return between(peak, end, shape(part(t - (steps - cooldown), cooldown)))


@schedule(warmup_must_be_under_steps=lambda warmup, steps: warmup < steps)
def d2z(t: int, peak: float, steps: Steps, warmup: Count = 0) -> float:
    """Up in a line over ``warmup``, then in a line to zero at ``steps``.

    Reference: "Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works Best for LLMs",
    S. Bergsma et al., 2025, https://arxiv.org/abs/2502.15938.
    """
    return peak * t / warmup if t < warmup else peak * (1 - part(t - warmup, steps - warmup))


@schedule(
    div_and_final_div_must_be_positive=lambda div, final_div: div > 0 and final_div > 0,
    rise_times_steps_must_be_over_1_and_under_steps=lambda rise, steps: 1 < rise * steps < steps,
)
def one_cycle(
    t: int,
    peak: float,
    steps: Steps,
    rise: float = 0.3,
    div: float = 25.0,
    final_div: float = 1e4,
    shape: Shape = half_cosine,
) -> float:
    """From peak / div up to a large ``peak`` at step rise · steps - 1, then down to peak / (div · final_div).

    torch's OneCycleLR in two phases (its pct_start is ``rise``), over at step steps - 1. The authors let the
    momentum fall while the rate rises, and back: give ``momentum`` a ``join`` of two ``linear``.

    Reference: "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    L. Smith, N. Topin, 2017, https://arxiv.org/abs/1708.07120.
    """
    top, low = rise * steps - 1, peak / div
    if t <= top:
        return between(low, peak, shape(part(t, top)))
    return between(peak, low / final_div, shape(part(t - top, steps - 1 - top)))


@schedule()
def sgdr(t: int, peak: float, period: Steps, mult: Steps = 1, end: float = 0.0) -> float:
    """Half cosines with warm restarts, each ``mult`` times as long as the last.

    torch's CosineAnnealingWarmRestarts.

    Reference: "SGDR: Stochastic Gradient Descent with Warm Restarts", I. Loshchilov, F. Hutter, 2016,
    https://arxiv.org/abs/1608.03983, equation 5.
    """
    if mult == 1:
        t %= period
    while t >= period:  # in integers: a logarithm would be a step off now and then
        t, period = t - period, period * mult
    return between(peak, end, half_cosine(t / period))
