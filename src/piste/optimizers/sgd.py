"""Stochastic gradient descent."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import trace


@optimizer
def SGD(
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Chain:
    """Gradient descent, with heavy-ball or Nesterov momentum if asked.

        g ← g + λp
        b ← μb + (1-τ)g                   (b ← g at the first step)
        p ← p - η b,    Nesterov: p ← p - η (g + μb)

    Where its rate can be tuned and the problem is well conditioned (convolutional networks with normalisation), it is
    hard to beat and keeps one buffer, or none without momentum. Sutskever et al. find Nesterov's form the stabler one
    at large momentum (0.9 to 0.99 and above); the step is 1/(1-μ) times as long as without, so lr must shrink when μ
    grows. For SGDW of Loshchilov and Hutter put ``decay_weights`` behind ``trace`` in a chain of your own.

    Equal to ``torch.optim.SGD``: the first buffer is undampened, and η stands outside the buffer (Sutskever et al. keep
    it inside, which differs as soon as η moves).

    Reference: "On the importance of initialization and momentum in deep learning", Ilya Sutskever, James Martens,
    George Dahl, Geoffrey Hinton, 2013, https://proceedings.mlr.press/v28/sutskever13.html
    """
    if nesterov and (momentum == 0 or dampening != 0):
        raise ValueError("SGD: nesterov=True needs momentum > 0 and dampening = 0")
    decay = [decay_weights(weight_decay)] if weight_decay else []
    moving = [trace(momentum, dampening, nesterov)] if momentum else []
    return chain(*decay, *moving, descend(lr))
