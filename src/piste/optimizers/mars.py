"""MARS: a variance-reduced gradient in front of an adaptive rule."""

from __future__ import annotations

from typing import Any

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles import recursive
from ..transforms.adaptive import scale_by_adam
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.norms import take_sign
from ..transforms.spectral import match_rms, orthogonalize, spectral_scale
from ..transforms.variance_reduction import clip_by_tensor_norm, correct_by_last_gradient
from .adam import AdamW


def _corrected(gamma: float, beta1: float) -> Chain:
    return chain(correct_by_last_gradient(gamma, beta1), clip_by_tensor_norm(1.0))


@optimizer
def MARSAdamW(
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    gamma: float = 0.025,
) -> Chain:
    """AdamW of a gradient that is corrected by the one before, and clipped.

        c = g + γ β₁/(1-β₁) (g - h);   c ← c / max(1, ‖c‖);   p ← p - η (Adam(c) + λp);   h ← g

    h is the last step's gradient (0 before the first). The correction takes from the average m the noise that it has
    in common with the step before; clipping is tensor by tensor. The authors find 0.025 for γ, betas (0.95, 0.99) and a
    rate about as large as AdamW's best for GPT-2. :class:`ExactMARSAdamW` evaluates the old weights on today's batch.

    Equal to the authors' code (AGI-Arena/MARS at 4831e28, ``optimize_1d``) to 1e-16 over 40 steps in float64. Differs
    from its default, which gives parameters of fewer than two dimensions to AdamW (lr 3e-3,
    betas (0.9, 0.95), decay 0.1); here they are corrected, too; to differ, make them a
    group ``piste.AdamW.group(params, ...)``.

    Reference: "MARS: Unleashing the Power of Variance Reduction for Training Large Models", Huizhuo Yuan, Yifeng Liu,
    Shuang Wu, Xun Zhou, Quanquan Gu, 2024, https://arxiv.org/abs/2411.10438
    """
    return chain(
        _corrected(gamma, betas[0]), scale_by_adam(*betas, eps), decay_weights(weight_decay), descend(lr)
    )


@optimizer
def ExactMARSAdamW(
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    gamma: float = 0.025,
) -> Chain:
    """MARS with the true difference: the weights of the step before are evaluated on today's batch.

        c = ∇f(p) + γ β₁/(1-β₁) (∇f(p) - ∇f(p'));   c ← c / max(1, ‖c‖);   p ← p - η (Adam(c) + λp)

    Two evaluations a step, so it needs a closure. The authors find it somewhat better by step and not by time.

    Equal to the authors' code (AGI-Arena/MARS at 4831e28, ``is_approx=False`` and ``optimize_1d``) to 1e-16 over 40
    steps in float64, given ∇f(p') of today's batch; the loop in its docstring gives it yesterday's, which is
    :class:`MARSAdamW`. Differs: at the first step, where no p' is known, the difference is 0, as in the paper (there it
    is ∇f(p)).

    Reference: "MARS: Unleashing the Power of Variance Reduction for Training Large Models", Huizhuo Yuan, Yifeng Liu,
    Shuang Wu, Xun Zhou, Quanquan Gu, 2024, https://arxiv.org/abs/2411.10438
    """
    return chain(
        recursive(betas[0], gamma),
        clip_by_tensor_norm(1.0),
        scale_by_adam(*betas, eps),
        decay_weights(weight_decay),
        descend(lr),
    )


@optimizer
def MARSLion(lr: float = 1e-4, beta1: float = 0.95, weight_decay: float = 0.0, gamma: float = 0.025) -> Chain:
    """The sign of the average of corrected gradients.

        c as in :class:`MARSAdamW`;   m ← β₁m + (1-β₁)c;   p ← p - η (sign m + λp)

    Without the clipping it is Lion with betas (β₁(1-γ), β₁). Every weight moves by η: take a rate 3 to 10 times smaller
    than AdamW's. Equal to the authors' code (AGI-Arena/MARS at 4831e28, "mars-lion") over 40 steps in
    float64.

    Reference: "MARS: Unleashing the Power of Variance Reduction for Training Large Models", Huizhuo Yuan, Yifeng Liu,
    Shuang Wu, Xun Zhou, Quanquan Gu, 2024, https://arxiv.org/abs/2411.10438
    """
    return chain(_corrected(gamma, beta1), ema(beta1), take_sign(), decay_weights(weight_decay), descend(lr))


def _rest_of_shampoo() -> dict[str, Any]:
    return AdamW.group(lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)


@optimizer(rest=_rest_of_shampoo)
def MARSShampoo(
    lr: float = 3e-3,
    beta1: float = 0.95,
    weight_decay: float = 0.0,
    gamma: float = 0.025,
    ns_steps: int = 5,
) -> Chain:
    """Shampoo without its sums, whose direction is the polar factor, of the average of corrected gradients.

        c as in :class:`MARSAdamW`;   m ← β₁m + (1-β₁)c;   p ← p - η (√max(1, m/n) UVᵀ + λp),  m = USVᵀ

    For hidden matrices. Equal to the authors' code (AGI-Arena/MARS at 4831e28, "mars-shampoo", its bf16 replaced by
    float64) to 3e-8 over 40 steps, which is its 1e-8 beside a norm. The rest goes to AdamW with the authors' numbers
    for vectors; theirs takes embeddings and heads for matrices. :class:`MARSM` is the authors' later form, with AdamW's
    step length.

    Reference: "MARS: Unleashing the Power of Variance Reduction for Training Large Models", Huizhuo Yuan, Yifeng Liu,
    Shuang Wu, Xun Zhou, Quanquan Gu, 2024, https://arxiv.org/abs/2411.10438
    """
    return chain(
        _corrected(gamma, beta1),
        ema(beta1),
        orthogonalize(ns_steps),
        spectral_scale(),
        decay_weights(weight_decay),
        descend(lr),
    )


def _rest_of_m() -> dict[str, Any]:
    return AdamW.group(lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)


@optimizer(rest=_rest_of_m)
def MARSM(
    lr: float = 1e-3,
    momentum: float = 0.95,
    weight_decay: float = 0.1,
    gamma: float = 0.025,
    ns_steps: int = 5,
) -> Chain:
    """MARS-M: Muon, in Moonshot's form, of corrected gradients.

        c = g + γ μ/(1-μ) (g - h);   c ← c / max(1, ‖c‖);   m ← μm + (1-μ)c
        p ← p - η (0.2 √max(m, n) UVᵀ + λp),  m = USVᵀ;   h ← g

    For hidden matrices; the rest goes to AdamW. The steps have AdamW's length, so that its rate and decay carry over:
    the authors train GPT-2 of all sizes with AdamW's. They prove O(T^(-1/3)) for the exact form against Muon's
    O(T^(-1/4)); this is the approximate one, which costs one evaluation a step and one more buffer than Muon.

    Equal to the authors' code (AGI-Arena/MARS at 4831e28, MARS_M, its bf16 replaced by float64) to 6e-16 over 40 steps.
    In its own AdamW ε is added before the bias correction.

    Reference: "MARS-M: When Variance Reduction Meets Matrices", Yifeng Liu, Angela Yuan, Quanquan Gu, 2025,
    https://arxiv.org/abs/2510.21800
    """
    return chain(
        _corrected(gamma, momentum),
        ema(momentum),
        orthogonalize(ns_steps),
        match_rms(),
        decay_weights(weight_decay),
        descend(lr),
    )
