"""AdEMAMix."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import half_life, linear
from ..transforms.adaptive import scale_by_ademamix
from ..transforms.decay import decay_weights, descend


@optimizer
def AdEMAMix(
    lr: float = 1e-3,
    betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
    alpha: float = 2.0,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    beta3_warmup: int = 0,
    alpha_warmup: int = 0,
) -> Chain:
    """AdamW with a second, far slower average of the gradients beside the first: old gradients stay in use.

        m₁ ← β₁m₁ + (1-β₁)g;   m₂ ← β₃m₂ + (1-β₃)g;   v ← β₂v + (1-β₂)g²
        p ← p - η [(m̂₁ + αm₂) / (√v̂ + ε) + λp]

    When: long runs, of tens of thousands of steps, at AdamW's rates; half a run is about where it begins to pay. The
    authors take β₃ = 0.9999 and α between 4 and 10 for language, and the whole run for both warm-ups: α rises from 0
    to ``alpha`` in ``alpha_warmup`` steps and β₃'s half-life from β₁'s to its own in ``beta3_warmup``. Without them (0)
    a large α may diverge early. m₂ is not debiased.

    Equal to the authors' code (apple/ml-ademamix at c3d73c0) to 2e-17 over 40 steps in float64, to 1e-8 with a
    warm-up of β₃, within whose logarithm they add 1e-8. At β₁ = 0 they keep no m₁.

    Reference: "The AdEMAMix Optimizer: Better, Faster, Older", Matteo Pagliardini, Pierre Ablin, David Grangier, 2024,
    https://arxiv.org/abs/2409.03137
    """
    beta1, beta2, beta3 = betas
    slow = half_life(beta1, beta3, beta3_warmup) if beta3_warmup else beta3
    share = linear(0.0, alpha, alpha_warmup) if alpha_warmup else alpha
    rule = scale_by_ademamix(beta1, beta2, slow, share, eps)
    return chain(rule, decay_weights(weight_decay), descend(lr))
