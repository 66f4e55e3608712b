"""Lookahead around SGD and AdamW."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, Part, chain
from ..transforms.adaptive import scale_by_adam
from ..transforms.averaging import lookahead
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import trace


def _slow(name: str, lr: float, k: int, alpha: float) -> Part:
    if k < 1:
        raise ValueError(f"{name}: k counts steps, at least 1; got {k}")
    return lookahead(k, alpha, lr)


@optimizer
def LookaheadSGD(
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    k: int = 5,
    alpha: float = 0.5,
) -> Chain:
    """Momentum SGD that goes k steps ahead and comes a part of the way back.

        g ← g + λp;   b ← μb + g;   p ← p - ηb;    every k steps:  φ ← φ + α(p - φ),  p ← φ

    When: rates and momenta too large for the noise or the curvature: the slow weights φ average what the fast ones
    overshoot. Evaluate at φ, inside ``with opt.averaged(model):``. The authors find k of 5 to 10 and α of 0.5 to 0.8
    good without tuning.

    Reference: "Lookahead Optimizer: k steps forward, 1 step back", Michael R. Zhang, James Lucas, Geoffrey Hinton,
    Jimmy Ba, 2019, https://arxiv.org/abs/1907.08610

    Equal to the authors' code (michaelrzhang/lookahead at c4fd85f) to 1e-15 over 40 steps in float64, but that a step
    at η = 0 moves nothing. α is the paper's 0.5; their code has 0.8. The momentum is left as it is, their default of
    three.
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    moving = [trace(momentum)] if momentum else []
    return chain(*decay, *moving, descend(lr), _slow("LookaheadSGD", lr, k, alpha))


@optimizer
def LookaheadAdamW(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    k: int = 5,
    alpha: float = 0.5,
) -> Chain:
    """AdamW that goes k steps ahead and comes a part of the way back.

        p ← p - η (m̂ / (√v̂ + ε) + λp);    every k steps:  φ ← φ + α(p - φ),  p ← φ

    When, and advice: as :class:`LookaheadSGD`.

    Reference: "Lookahead Optimizer: k steps forward, 1 step back", Michael R. Zhang, James Lucas, Geoffrey Hinton,
    Jimmy Ba, 2019, https://arxiv.org/abs/1907.08610

    Equal to the authors' code (michaelrzhang/lookahead at c4fd85f) to 1e-15 over 40 steps in float64, but that a step
    at η = 0 moves nothing. α is the paper's 0.5; their code has 0.8. The moments are left as they are, their default of
    three.
    """
    rule = chain(scale_by_adam(*betas, eps), decay_weights(weight_decay), descend(lr))
    return chain(rule, _slow("LookaheadAdamW", lr, k, alpha))
