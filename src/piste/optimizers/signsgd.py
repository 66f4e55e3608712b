"""SignSGD and Signum."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.norms import take_sign


@optimizer
def SignSGD(lr: float = 1e-4, weight_decay: float = 0.0) -> Chain:
    """The sign of the gradient, without any state.

        p ← p - η (sign g + λp)

    When: gradients that are to be sent in one bit, large batches, or no memory for a momentum. The theory wants batches
    that grow with the run, or a vote of many workers (``sign`` of the sum of signs); small ones want :class:`Signum`.

    Reference: "signSGD: Compressed Optimisation for Non-Convex Problems", Jeremy Bernstein, Yu-Xiang Wang, Kamyar
    Azizzadenesheli, Anima Anandkumar, 2018, https://arxiv.org/abs/1802.04434

    Deviations: the decay is decoupled. The authors' code was not looked at; the rate is the one of their experiments
    from memory, not verified.
    """
    return chain(take_sign(), decay_weights(weight_decay), descend(lr))


@optimizer
def Signum(lr: float = 1e-4, momentum: float = 0.9, weight_decay: float = 0.0) -> Chain:
    """The sign of a momentum.

        m ← μm + (1-μ)g;   p ← p - η (sign m + λp)

    Lion whose two averages are one. Every weight moves by η: take a rate as Lion's, 3 to 10 times smaller than AdamW's.

    Reference: "signSGD: Compressed Optimisation for Non-Convex Problems", Jeremy Bernstein, Yu-Xiang Wang, Kamyar
    Azizzadenesheli, Anima Anandkumar, 2018, https://arxiv.org/abs/1802.04434

    Deviations: the decay is decoupled. The paper's warm-up, in which signs of gradients are taken while the momentum
    fills, is left out. The authors' code was not looked at.
    """
    return chain(ema(momentum), take_sign(), decay_weights(weight_decay), descend(lr))
