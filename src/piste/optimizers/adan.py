"""Adan."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.nesterov import decay_by_prox, scale_by_adan


@optimizer
def Adan(
    lr: float = 1e-3,
    betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    no_prox: bool = False,
) -> Chain:
    """Adam with Nesterov's momentum, got from differences of gradients instead of a gradient at another point.

        d = g - last g;   m ← β₁m + (1-β₁)g;   z ← β₂z + (1-β₂)d;   n ← β₃n + (1-β₃)(g + β₂d)²
        p ← (p - η (m̂ + β₂ẑ) / (√n̂ + ε)) / (1 + ηλ)

    When: as AdamW, for vision and language alike; three averages and a gradient are kept. The authors take rates 5 to
    10 times AdamW's, weight_decay 0.02 and betas (0.98, 0.92, 0.99); their paper's β are one minus these. ``no_prox``:
    the decay is AdamW's, p ← (1-ηλ)p before the step. Their ``max_grad_norm`` is ``clip_by_global_norm`` in front.

    Equal to the authors' code (sail-sg/Adan at 2c65bea) to 6e-16 over 40 steps in float64.

    Reference: "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", Xingyu Xie, Pan Zhou,
    Huan Li, Zhouchen Lin, Shuicheng Yan, 2022, https://arxiv.org/abs/2208.06677
    """
    rule = scale_by_adan(*betas, eps)
    if not weight_decay:
        return chain(rule, descend(lr))
    if no_prox:
        return chain(rule, decay_weights(weight_decay), descend(lr))
    return chain(rule, descend(lr), decay_by_prox(lr, weight_decay))
