"""AdaFisher."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.decay import decay_weights, descend
from ..transforms.kfac import normalized_squares, scale_by_adafisher
from .adam import AdamW


@optimizer(rest=AdamW)
def AdaFisher(
    lr: float = 1e-3,
    beta: float = 0.9,
    Lambda: float = 1e-3,
    gamma: float = 0.8,
    TCov: int = 100,
    weight_decay: float = 0.0,
) -> Chain:
    """Adam's momentum over a diagonal Fisher matrix: the outer product of a layer's mean squared inputs and gradients.

        every TCov steps:  h = E a²,  s = E g², each mapped to [0, 1];   H ← γ/10 H + γ/100 h;   S ← γ/10 S + γ/100 s
        g ← ∇W + weight_decay W;   m ← βm + (1-β)g;   W ← W - η m̂ / (S Hᵀ + Λ)

    For layers of a classifier, at little more than Adam's price: H and S are a number for each input and output of a
    layer, and need only a look at it every ``TCov`` steps. Given a module, what has no such layer goes to ``rest``
    (AdamW). The defaults are the authors'.

    Follows the authors' code, in which γ/10 and γ/100 stand for the paper's two decays γ₁ and 1 - γ₂. Equal to it
    (AtlasAnalyticsLab/AdaFisher at eb858c6) to 5e-16 over 40 steps of a network in float64, AdaFisherW too.

    Reference: "AdaFisher: Adaptive Second Order Optimization via Fisher Information", Damien Martins Gomes, Yanlei
    Zhang, Eugene Belilovsky, Guy Wolf, Mahdi S. Hosseini, 2024, https://arxiv.org/abs/2405.16397
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    sensed = normalized_squares(every(TCov, phase=1))
    return chain(sensed, *decay, scale_by_adafisher(beta, Lambda, gamma), descend(lr))


@optimizer(rest=AdamW)
def AdaFisherW(
    lr: float = 1e-3,
    beta: float = 0.9,
    Lambda: float = 1e-3,
    gamma: float = 0.8,
    TCov: int = 100,
    weight_decay: float = 0.0,
) -> Chain:
    """AdaFisher with AdamW's weight decay.

        W ← W - η (m̂ / (S Hᵀ + Λ) + weight_decay W),   m, S and H as in :class:`AdaFisher`

    Everything said there holds here; the decay does not pass through the averages and the preconditioner.

    Reference: "AdaFisher: Adaptive Second Order Optimization via Fisher Information", Damien Martins Gomes, Yanlei
    Zhang, Eugene Belilovsky, Guy Wolf, Mahdi S. Hosseini, 2024, https://arxiv.org/abs/2405.16397
    """
    sensed = normalized_squares(every(TCov, phase=1))
    return chain(sensed, scale_by_adafisher(beta, Lambda, gamma), decay_weights(weight_decay), descend(lr))
