"""Decay towards zero, and the step itself."""

from __future__ import annotations

from torch import Tensor

from .._transform import transform


@transform
def decay_weights(u: Tensor, param: Tensor, *, weight_decay: float) -> Tensor:
    """u + λp. In front of the rule this is L2 regularisation; behind it, decoupled decay (times lr, as in torch).

    Reference: "Decoupled Weight Decay Regularization", Ilya Loshchilov, Frank Hutter, 2019,
    https://arxiv.org/abs/1711.05101
    """
    return u + weight_decay * param


@transform(room="length")
def descend(u: Tensor, *, lr: float) -> Tensor:
    """The step: δ = -ηu."""
    return -lr * u


@transform(room="delta")
def decay_new_weights(u: Tensor, param: Tensor, *, lr: float, weight_decay: float) -> Tensor:
    """δ - ηλ(p + δ): decoupled decay of the weights the step leads to, as SOAP's authors have it.

    Reference: "Decoupled Weight Decay Regularization", Ilya Loshchilov, Frank Hutter, 2019,
    https://arxiv.org/abs/1711.05101
    """
    return u - lr * weight_decay * (param + u)
