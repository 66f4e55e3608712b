"""Quasi-hyperbolic momentum, plain and in Adam."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.grafting import from_average
from ..transforms.hyperbolic import beside_average, divide_by_hyperbolic_rms
from ..transforms.momentum import debiased_ema, ema
from .nadam import decaying


@optimizer
def QHM(
    lr: float = 1.0,
    momentum: float = 0.999,
    nu: float = 0.7,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> Chain:
    """A gradient step and a momentum step, averaged.

        m ← βm + (1-β)g
        p ← p - η [(1-ν) g + νm]

    When: where SGD with momentum would do: a very slow average (β = 0.999) may be used since the gradient itself is
    there to respond. ν = 0 is SGD, ν = 1 momentum, ν = β Nesterov's. m is an *average*: for SGD's momentum 0.9 at rate
    0.1 take 1.0 here. The authors advise ν = 0.7, β = 0.999. The decay joins the gradient, or is AdamW's with
    ``decoupled_weight_decay``.

    Equal to the authors' code (facebookresearch/qhoptim at e81dea3) to 5e-16 over 40 steps in float64.

    Reference: "Quasi-hyperbolic momentum and Adam for deep learning", Jerry Ma, Denis Yarats, 2019,
    https://arxiv.org/abs/1810.06801
    """
    return decaying(chain(beside_average(ema(momentum), nu)), lr, weight_decay, decoupled_weight_decay)


@optimizer
def QHAdam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.995, 0.999),
    nus: tuple[float, float] = (0.7, 1.0),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> Chain:
    """Adam with both of its averages mixed with what is fresh.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²
        p ← p - η [(1-ν₁) g + ν₁m̂] / (√((1-ν₂)g² + ν₂v̂) + ε)

    When: as Adam, at its rates. ν₁ = ν₂ = 1 is Adam, ν₁ = β₁ about NAdam; ν₂ below 1 bounds steps where gradients leap.
    The defaults are those that the authors advise in their README and paper; their code's, ν = (1, 1) and β₁ = 0.9, are
    Adam. The decay passes through the scaling, or is AdamW's with ``decoupled_weight_decay`` (their QHAdamW).

    Equal to the authors' code (facebookresearch/qhoptim at e81dea3) to 1e-15 over 40 steps in float64.

    Reference: "Quasi-hyperbolic momentum and Adam for deep learning", Jerry Ma, Denis Yarats, 2019,
    https://arxiv.org/abs/1810.06801
    """
    (beta1, beta2), (nu1, nu2) = betas, nus
    average = beside_average(debiased_ema(beta1), nu1)
    rule = chain(from_average(average, divide_by_hyperbolic_rms(beta2, nu2, eps)))
    return decaying(rule, lr, weight_decay, decoupled_weight_decay)
