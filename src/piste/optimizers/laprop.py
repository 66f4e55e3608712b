"""LaProp."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import scale_by_debiased_rms
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import debiased_ema


@optimizer
def LaProp(
    lr: float = 4e-4,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-15,
    weight_decay: float = 0.0,
) -> Chain:
    """Adam the other way round: gradients are scaled first and averaged then.

        v ← β₂v + (1-β₂)g²;   m ← β₁m + (1-β₁) g / (√v̂ + ε)
        p ← p - η (m̂ + λp)

    When: as AdamW, at its rates, and where β₂ is small or gradients leap: no step is longer than η/√(1-β₂), whatever
    β₁, where Adam's may be where β₁² > β₂. With β₂ = 0 it is a momentum of signs. The authors train at 4e-4.

    Equal to the authors' code (Z-T-WANG/LaProp-Optimizer at a419916) to 3e-17 over 40 steps in float64 at one rate.
    Deviations: their average holds ηg/(√v̂ + ε), so that a new rate counts only as it enters; their decay, λp after the
    step, is not multiplied by η; ``centered`` and ``amsgrad`` are left out.

    Reference: "LaProp: Separating Momentum and Adaptivity in Adam", Liu Ziyin, Zhikang T. Wang, Masahito Ueda, 2020,
    https://arxiv.org/abs/2002.04839
    """
    beta1, beta2 = betas
    return chain(
        scale_by_debiased_rms(beta2, eps), debiased_ema(beta1), decay_weights(weight_decay), descend(lr)
    )
