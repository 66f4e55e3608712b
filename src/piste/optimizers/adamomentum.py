"""AdaMomentum."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import debias_adam
from ..transforms.momentum import ema
from ..transforms.second_moments import scale_by_raised_rms
from .nadam import decaying, positive_eps


@optimizer
def AdaMomentum(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-16,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = True,
) -> Chain:
    """Adam whose second moment is that of the momentum, not of the gradient.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)m² + ε
        p ← p - η m̂ / √v̂

    When: as Adam; where gradients are mostly noise its steps are about √((1+β₁)/(1-β₁)) times as long, 4.4 at 0.9, so
    take that much less of Adam's rate. ε adds up to ε/(1-β₂) within v; the authors train image classifiers with 1e-8.
    The decay is AdamW's, or passes through the scaling without ``decoupled_weight_decay``, as in those runs.

    Equal to the first author's code (wyzjack/AdaM3 at e715cde, CNN_CIFAR, where the method has its later name AdaM³) to
    7e-16 over 40 steps in float64. The paper's own algorithm was not read. Left out: ``amsgrad`` and ``rectify``, which
    is off there by default.

    Reference: "Rethinking Adam: A Twofold Exponential Moving Average Approach", Yizhou Wang, Yue Kang, Can Qin, Huan
    Wang, Yi Xu, Yulun Zhang, Yun Fu, 2021, https://arxiv.org/abs/2106.11514
    """
    positive_eps("AdaMomentum", eps, "it stands within the root alone (1e-16 is the default)")
    rule = chain(ema(betas[0]), scale_by_raised_rms(betas[1], eps), debias_adam(*betas))
    return decaying(rule, lr, weight_decay, decoupled_weight_decay)
