"""Grams."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import debias_adam, scale_by_raw_adam
from ..transforms.composites import signed_magnitude
from ..transforms.decay import decay_weights, descend


@optimizer
def Grams(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    correct_bias: bool = True,
) -> Chain:
    """Adam's length against today's gradient: momentum says how far, not which way.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²
        p ← p - η (√(1-β₂ᵗ)/(1-β₁ᵗ) |m|/(√v + ε) sign g + λp)

    When: as AdamW, with its state, where momentum overshoots. Every coordinate goes downhill on today's batch, where
    :class:`CautiousAdamW` stops those that would not. Small batches are its weakness: directions are not averaged.
    The authors take AdamW's hyperparameters.

    Reference: "Grams: Gradient Descent with Adaptive Momentum Scaling", Yang Cao, Xiaoyu Li, Zhao Song, 2024,
    https://arxiv.org/abs/2412.17107

    Equal to the authors' code (Gunale0926/Grams at f91a375) to 2e-15 over 40 steps in float64: ε stands before the bias
    correction, the decay acts on the old weights. Deviations: none.
    """
    beta1, beta2 = betas
    debiased = [debias_adam(beta1, beta2)] if correct_bias else []
    length = chain(scale_by_raw_adam(beta1, beta2, eps), *debiased)
    return chain(signed_magnitude(chain(), length), decay_weights(weight_decay), descend(lr))
