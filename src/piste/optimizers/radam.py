"""RAdam."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import debias_adam
from ..transforms.grafting import divide_by_raw_rms, from_average
from ..transforms.momentum import debias_average, ema
from ..transforms.rectified import rectify
from .nadam import decaying


@optimizer
def RAdam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> Chain:
    """Adam that warms itself up: shorter steps while its second moment has seen few gradients, plain momentum before.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²;   ρ∞ = 2/(1-β₂) - 1;   ρ = ρ∞ - 2tβ₂ᵗ/(1-β₂ᵗ)
        p ← p - η r m̂ √(1-β₂ᵗ) / (√v + ε),   r = √((ρ-4)(ρ-2)ρ∞ / ((ρ∞-4)(ρ∞-2)ρ))        where ρ > 5
        p ← p - η m̂                                                                      in the steps before

    When: as Adam, where a warm-up would have to be tuned. The first five steps (at β₂ = 0.999) are those of momentum at
    Adam's rate, short where gradients are small. With ``decoupled_weight_decay`` the decay is AdamW's, as in the
    authors' code, else it passes through the scaling.

    Equal to ``torch.optim.RAdam``. The authors' code begins at ρ ≥ 5, the paper at ρ > 4, where r is 0.

    Reference: "On the Variance of the Adaptive Learning Rate and Beyond", Liyuan Liu, Haoming Jiang, Pengcheng He,
    Weizhu Chen, Xiaodong Liu, Jianfeng Gao, Jiawei Han, 2020, https://arxiv.org/abs/1908.03265
    """
    beta1, beta2 = betas
    scaled = chain(divide_by_raw_rms(beta2, eps), debias_adam(0.0, beta2))
    rule = chain(from_average(ema(beta1), rectify(scaled, beta2)), debias_average(beta1))
    return decaying(rule, lr, weight_decay, decoupled_weight_decay)
