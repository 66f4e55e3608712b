"""Descent in the metric of the loss surface."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.backprop import backprop
from ..transforms.decay import decay_weights, descend
from ..transforms.induced import (
    inverse_rms,
    scale_by_induced_log_metric,
    scale_by_induced_metric,
    step_in_induced_metric,
)
from ..transforms.momentum import debiased_ema


@optimizer
def InducedMetricSGD(
    lr: float = 0.1, momentum: float = 0.9, xi: float = 0.1, beta: float = 0.8, weight_decay: float = 0.0
) -> Chain:
    """SGD in the metric that the loss surface has from the space it is drawn in: smooth clipping.

        m ← μm + (1-μ)g;   s ← βs + (1-β)ξ‖g‖²;   p ← p - η m̂ / (1 + ŝ) - ηλp

    ‖g‖² over all parameters. Where the surface is steep (ξ‖g‖² ≫ 1) the step falls as 1/‖g‖, where it is flat this is
    SGD: a warm-up and a clip in one. ``xi`` is the squared scale of the axis on which the loss is drawn; the authors
    find decoupled decay the natural one.

    Equal to the authors' code (harveyThomas4692/Induced-Metric-Optimiser at 754ae88) to 1e-15 over 40 steps in float64.

    Reference: "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    Thomas R. Harvey, 2025, https://arxiv.org/abs/2509.03594
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(debiased_ema(momentum), scale_by_induced_metric(xi, beta), *decay, descend(lr))


@optimizer
def InducedMetricLogSGD(
    lr: float = 0.1, momentum: float = 0.9, xi: float = 0.1, beta: float = 0.8, weight_decay: float = 0.0
) -> Chain:
    """SGD in the metric of the surface of the loss's logarithm.

        m ← μm + (1-μ)g;   s ← βs + (1-β)ξ‖g‖²;   p ← p - η m̂ f / (f² + ŝ) - ηλp

    Needs ``step(closure)``, and a loss that stays positive. Steps grow as the loss falls, until ξ‖g‖² bounds them: a
    schedule of its own.

    Equal to the authors' code (harveyThomas4692/Induced-Metric-Optimiser at 754ae88) to 1e-15 over 40 steps in float64.

    Reference: "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    Thomas R. Harvey, 2025, https://arxiv.org/abs/2509.03594
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    metric = scale_by_induced_log_metric(xi, beta)
    return chain(backprop(), debiased_ema(momentum), metric, *decay, descend(lr))


@optimizer
def InducedMetricRMS(
    lr: float = 0.1,
    momentum: float = 0.9,
    xi: float = 0.1,
    beta: float = 0.8,
    beta_rms: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Chain:
    """Adam in the metric that the loss surface has over Adam's own.

        m ← μm + (1-μ)g;   v ← β₂v + (1-β₂)g²;   s ← βs + (1-β)ξ gᵀ(√v̂ + ε)⁻¹g
        p ← p - η m̂ / (√v̂ + ε) / (1 + ŝ) - ηλp

    The sum in s is over all parameters: about their number times the gradient's size, so that ``xi`` wants to be small
    for large models. State and price as Adam's.

    Equal to the authors' code (harveyThomas4692/Induced-Metric-Optimiser at 754ae88) to 1e-15 over 40 steps in float64.

    Reference: "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    Thomas R. Harvey, 2025, https://arxiv.org/abs/2509.03594
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    step = step_in_induced_metric(momentum, xi, beta)
    return chain(inverse_rms(beta_rms, eps), step, *decay, descend(lr))
