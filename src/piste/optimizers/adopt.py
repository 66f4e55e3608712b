"""ADOPT."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.clipping import clip_by_value
from ..transforms.momentum import ema
from ..transforms.second_moments import scale_by_previous_rms
from .nadam import decaying, positive_eps


def _fourth_root(step: int) -> float:
    return step**0.25


@optimizer
def ADOPT(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.9999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    clip: bool = True,
    decoupled_weight_decay: bool = False,
) -> Chain:
    """Adam that converges with any β₂: gradients are divided by a second moment that has not seen them, then averaged.

        v ← g²                                      at the first gradient, which takes no step
        m ← β₁m + (1-β₁) clip(g / max(√v, ε), ±t^¼);   p ← p - ηm;   v ← β₂v + (1-β₂)g²

    When: as Adam, at its rates, and where Adam's β₂ would have to be tuned; noise may be unbounded. ``clip`` is the
    authors' schedule, which they advise since near-zero first gradients (last layers that start at 0) make huge steps
    without it. ``decoupled_weight_decay`` (their ``decouple``) is to be set where AdamW stood; else the decay passes
    through the scaling. m is not debiased.

    Equal to the authors' code (iShohei220/adopt at 6468572) to 1e-15 over 40 steps in float64.

    Reference: "ADOPT: Modified Adam Can Converge with Any β_2 with the Optimal Rate", Shohei Taniguchi, Keno Harada,
    Gouki Minegishi, Yuta Oshima, Seong Cheol Jeong, Go Nagahara, Tomoshi Iiyama, Masahiro Suzuki, Yusuke Iwasawa,
    Yutaka Matsuo, 2024, https://arxiv.org/abs/2411.02853
    """
    positive_eps("ADOPT", eps, "it bounds the division where no gradient has been seen (1e-6 is the default)")
    beta1, beta2 = betas
    held = [clip_by_value(_fourth_root)] if clip else []
    rule = chain(scale_by_previous_rms(beta2, eps), *held, ema(beta1))
    return decaying(rule, lr, weight_decay, decoupled_weight_decay)
