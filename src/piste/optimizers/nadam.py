"""NAdam."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.grafting import divide_by_rms, from_average
from ..transforms.nesterov import nesterov_average


def decaying(rule: Chain, lr: float, weight_decay: float, decoupled: bool) -> Chain:
    """The rule and its step, with the decay behind it, or in front, where it passes through the scaling."""
    if not weight_decay:
        return chain(rule, descend(lr))
    if decoupled:
        return chain(rule, decay_weights(weight_decay), descend(lr))
    return chain(decay_weights(weight_decay), rule, descend(lr))


def positive_eps(name: str, eps: float, why: str) -> None:
    if not eps > 0:
        raise ValueError(f"{name}: eps must be positive, since {why}; got {eps}")


@optimizer
def NAdam(
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
) -> Chain:
    """Adam with Nesterov's momentum: the step is taken with the average as the next step will use it.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²
        μ_t = β₁ (1 - ½ 0.96^(tψ));   Π_t = μ₁ ⋯ μ_t
        p ← p - η [(1-μ_t)/(1-Π_t) g + μ_{t+1}/(1-Π_{t+1}) m] / (√v̂ + ε)

    When: as Adam, where the gradient is not all noise; at its rate or somewhat below. ψ, ``momentum_decay``, says how
    soon the momentum is at its full value: at 0.004, the paper's, half of the way takes some 4,000 steps. With
    ``decoupled_weight_decay`` the decay is AdamW's, else it passes through the scaling.

    Equal to ``torch.optim.NAdam``, which keeps Π_t in the default dtype (1e-8 apart in float64). Deviation of both from
    the paper, of which the text was not at hand: there, it is said, m is averaged with the moving μ_t, here with β₁.

    Reference: "Incorporating Nesterov Momentum into Adam", Timothy Dozat, 2016,
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """
    beta1, beta2 = betas
    rule = chain(from_average(nesterov_average(beta1, momentum_decay), divide_by_rms(beta2, eps)))
    return decaying(rule, lr, weight_decay, decoupled_weight_decay)
