"""Momentum: running averages and sums of the update."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, transform
from ._numbers import debias, where


@transform(invariant=("sign",), momentum_buffer=moment)
def ema(u: Tensor, momentum_buffer: Tensor, *, momentum: float, nesterov: bool = False) -> Any:
    """Exponential average of the update, as Muon's authors write it.

    m ← μ m + (1 - μ) u;  u ← (1 - μ) u + μ m with Nesterov's look ahead, else m.

    Reference: "Muon: An optimizer for hidden layers in neural networks", Keller Jordan et al., 2024,
    https://kellerjordan.github.io/posts/muon/
    """
    m = momentum_buffer.lerp(u, 1 - momentum)
    return (u.lerp(m, momentum) if nesterov else m), m


@transform(invariant=("sign",), momentum_buffer=moment)
def trace(
    u: Tensor,
    step: Any,
    momentum_buffer: Tensor,
    *,
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
) -> Any:
    """Heavy-ball momentum in torch's form: a decaying *sum* of updates.

    b ← μ b + (1 - τ) u (b ← u at the first step);  u ← u + μ b with Nesterov, else b.

    Reference: "On the importance of initialization and momentum in deep learning", Ilya Sutskever, James Martens,
    George Dahl, Geoffrey Hinton, 2013, https://proceedings.mlr.press/v28/sutskever13.html
    """
    b = momentum * momentum_buffer + where(step == 1, 1.0, 1 - dampening) * u
    return (u + momentum * b if nesterov else b), b


@transform(invariant=("sign",), momentum_buffer=moment)
def debiased_ema(u: Tensor, step: Any, momentum_buffer: Tensor, *, momentum: float) -> Any:
    """m ← μm + (1-μ)u;  u ← m / (1-μᵗ): Adam's first moment.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    m = momentum_buffer.lerp(u, 1 - momentum)
    return debias(m, momentum, step), m


@transform(invariant=("sign",))
def debias_average(u: Tensor, step: Any, *, momentum: float) -> Tensor:
    """u / (1-μᵗ): what is missing to an average, or to what is in proportion to one, that started at zero.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    return debias(u, momentum, step)
