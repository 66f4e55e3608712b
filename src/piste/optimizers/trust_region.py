"""The least of a linear model of the loss in a ball around the weights, in three norms."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.norms import normalize_tree, step_in_box
from ..transforms.spectral import orthogonalize_by_polar_express


@optimizer
def TrustRegionL2(lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0) -> Chain:
    """Normalized SGD with momentum: to the least of ⟨m, x⟩ within ‖x - (1-ηλ)p‖ ≤ η, over all parameters at once.

        m ← μm + (1-μ)g;   p ← (1-ηλ)p - η m/‖m‖

    η is the distance of a step: the paper's radius, and 1 - μ its α. It needs no bound on the gradients, and μ near 1
    is what makes it converge under noise.

    Reference: "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region Optimization",
    Dmitry Kovalev, 2025, https://arxiv.org/abs/2503.12645
    """
    return chain(ema(momentum), normalize_tree(), decay_weights(weight_decay), descend(lr))


@optimizer
def TrustRegionSign(
    lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0, l1: float = 0.0
) -> Chain:
    """Sign descent with momentum: to the least of ⟨m, x⟩ + λ₁‖x‖₁ where no entry moves by more than η.

        m ← μm + (1-μ)g;   c = (1-ηλ)p
        p ← c - η sign m where |m| ≥ λ₁, else c - clamp(c, -η, η)

    The composite problem of the paper with R = λ₁‖x‖₁: weights whose averaged slope stays under ``l1`` become exactly
    zero, at the same pace η as the others move. With l1 = 0 it is signSGD with momentum.

    Reference: "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region Optimization",
    Dmitry Kovalev, 2025, https://arxiv.org/abs/2503.12645
    """
    return chain(ema(momentum), step_in_box(lr, l1, weight_decay))


@optimizer(rest=TrustRegionSign)
def TrustRegionSpectral(
    lr: float = 0.02, momentum: float = 0.9, weight_decay: float = 0.0, ns_steps: int = 8
) -> Chain:
    """Muon as the paper derives it: to the least of ⟨m, x⟩ where no singular value of x - (1-ηλ)p exceeds η.

        m ← μm + (1-μ)g;   p ← (1-ηλ)p - η UVᵀ,  m = USVᵀ

    The average is taken before it is orthogonalized, which the paper shows to be better than the other way round, and
    without Nesterov's look ahead, which :class:`Muon` has. UVᵀ is the Polar Express's, to rounding at 8 steps, since
    the paper's is exact. What is not a hidden matrix goes to :class:`TrustRegionSign`.

    Reference: "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region Optimization",
    Dmitry Kovalev, 2025, https://arxiv.org/abs/2503.12645
    """
    return chain(
        ema(momentum),
        orthogonalize_by_polar_express(ns_steps),
        decay_weights(weight_decay),
        descend(lr),
    )
