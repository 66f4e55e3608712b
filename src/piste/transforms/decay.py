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
