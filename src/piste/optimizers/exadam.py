"""EXAdam."""

from __future__ import annotations

import math

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.second_moments import scale_by_exadam
from .nadam import positive_eps


@optimizer
def EXAdam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    growing: bool = False,
) -> Chain:
    """Adam with today's gradient beside its average, and moments each debiased by what the other says.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²;   d₁ = 1 + β₂ᵗ v/(v + ε);   d₂ = 1 + β₁ᵗ m²/(m² + ε)
        p ← p - η [d₁ (m + g)/(1-β₁ᵗ) / (√(d₂ v/(1-β₂ᵗ)) + ε) + λp]

    When: as Adam, at half its rate: m + g is about twice as long as m, and d₁ doubles the steps of the first 1/(1-β₂).
    ``growing`` multiplies η by ½ ln(2(t+1)), as the paper's first version has it. The authors take lr 1e-3 for images,
    3e-4 for text.

    Equal to the authors' code (AhmedMostafa16/EXAdam at 989d7b6; with ``growing`` at 9ff8463) to 5e-16 over 40 steps
    in float64. Deviation: with ``growing`` their decay keeps the plain rate, here it grows with the step.

    Reference: "EXAdam: The Power of Adaptive Cross-Moments", Ahmed M. Adly, 2024, https://arxiv.org/abs/2412.20302
    """
    positive_eps("EXAdam", eps, "d₁ and d₂ are 0/0 without it where gradients are 0 (1e-8 is the default)")
    rate = (lambda step: lr * (0.5 * math.log(2 * (step + 1)))) if growing else lr
    return chain(scale_by_exadam(*betas, eps), decay_weights(weight_decay), descend(rate))
