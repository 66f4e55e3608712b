"""AdaBelief."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.grafting import from_average
from ..transforms.momentum import debias_average, ema
from ..transforms.rectified import rectify
from ..transforms.second_moments import divide_by_belief
from .nadam import decaying


@optimizer
def AdaBelief(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-16,
    weight_decay: float = 0.0,
    rectify_steps: bool = True,
    decoupled_weight_decay: bool = True,
) -> Chain:
    """Adam that divides by how far gradients are from their average: long steps where they came as expected.

        m ← β₁m + (1-β₁)g;   s ← β₂s + (1-β₂)(g - m)² + ε
        p ← p - η m̂ / (√ŝ + ε)

    When: as Adam. A gradient that hardly changes makes steps of up to η |g|/√(ε/(1-β₂)): ε is a hyperparameter. The
    authors advise 1e-8 where SGD is better than Adam (image classifiers) and 1e-16 where Adam is (transformers, GANs),
    and never to clip by value. With ``rectify_steps`` (the authors' ``rectify``) steps are RAdam's in the beginning.
    The decay is AdamW's, or passes through the scaling without ``decoupled_weight_decay``.

    Equal to the authors' code (juntang-zhuang/Adabelief-Optimizer at 2855178, adabelief_pytorch 0.2.1) to 6e-16 over 40
    steps in float64. Deviation: with rectification their last ε is added to √s, before its correction (2e-11 apart at
    ε = 1e-8). Left out: ``amsgrad``, ``fixed_decay``.

    Reference: "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", Juntang Zhuang, Tommy
    Tang, Yifan Ding, Sekhar Tatikonda, Nicha Dvornek, Xenophon Papademetris, James S. Duncan, 2020,
    https://arxiv.org/abs/2010.07468
    """
    beta1, beta2 = betas
    divide = chain(divide_by_belief(beta2, eps))
    trusted = chain(rectify(divide, beta2)) if rectify_steps else divide
    rule = chain(from_average(ema(beta1), trusted), debias_average(beta1))
    return decaying(rule, lr, weight_decay, decoupled_weight_decay)
