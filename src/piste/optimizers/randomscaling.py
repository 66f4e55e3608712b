"""Momentum whose every step has a random length."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import drawn_exponentially
from ..transforms.decay import descend
from ..transforms.random_scaling import discounted_mean, regularized_trace, scale_step


@optimizer
def RandomlyScaledSGDM(lr: float = 1e-2, beta: float = 0.99, mu: float = 0.0, draw_seed: int = 0) -> Chain:
    """SGD with momentum, each step multiplied by an exponentially distributed number.

        m ← β/(1 + ημ) (m + g);   p ← p - η s m,  s ~ Exp(1), one number for all parameters
        view: the mean of the points, older ones discounted by β

    For losses that are neither smooth nor convex: that s makes SGD with momentum optimal for them, and costs nothing
    where they are smooth. A step is β/(1-β) times as long as SGD's, s aside, so lr must be small where β is near 1. The
    theory has 1 - β ∝ ε² for gradients of norm ε and speaks of the discounted mean (``with opt.averaged(model):``),
    which takes one more copy of the weights; the authors evaluate the raw weights in their experiments with CIFAR-10.
    μ draws the step towards 0: ημ is to 1/(1-β) as a weight is to others.

    η stands outside m where the authors keep Δ = -ηm, which differs as soon as η moves, and makes a step at η = 0 move
    nothing. Given the same s equal to their code (``O2NCGD``, read without its repository's name) to 4e-16 over 40
    steps in float64. Here s is drawn from ``draw_seed`` and the step: the same in every run and on all ranks. The mean
    is that of their JAX code (``ema_params``), debiased. Defaults: theirs are for tests only; β is that of the latter.

    Reference: "Random Scaling and Momentum for Non-smooth Non-convex Optimization", Qinzi Zhang, Ashok Cutkosky, 2024,
    https://arxiv.org/abs/2405.09742
    """
    if not mu >= 0:
        raise ValueError(
            f"RandomlyScaledSGDM: mu must not be negative (it would drive the step away from 0), got {mu}"
        )
    return chain(
        regularized_trace(lr, beta, mu),
        descend(lr),
        scale_step(drawn_exponentially(seed=draw_seed)),
        discounted_mean(beta),
    )
