"""The pieces of a grafted preconditioner that share one momentum: its length from one rule, its direction from another,
both of the averaged gradient, with statistics of the gradient itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import square, transform
from ._numbers import inverse, sqrt


@transform(invariant=("sign",), holds=("average", "rule"), provides=("grad",))
def from_average(u: Tensor, average: Any, rule: Any) -> Tensor:
    """u ← rule(average(u)), where the rule's ``grad`` is u: its step starts from the average, its statistics see u.

    So one momentum serves several rules (those of :func:`graft`), and what stands in front of it (clipping, L2) counts.

    Reference: "Disentangling Adaptive Gradient Methods from Learning Rates", Naman Agarwal, Rohan Anil, Elad Hazan,
    Tomer Koren, Cyril Zhang, 2020, https://arxiv.org/abs/2002.11803
    """
    return rule(average(u), grad=u)


@transform(invariant=("sign",), exp_avg_sq=square)
def divide_by_rms(u: Tensor, grad: Tensor, step: Any, exp_avg_sq: Tensor, *, beta2: float, eps: float) -> Any:
    """v ← β₂v + (1-β₂) grad²;  u ← u / (√(v/(1-β₂ᵗ)) + ε): Adam's denominator.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    v = exp_avg_sq.lerp(grad.square(), 1 - beta2)
    return u / (v.sqrt() * inverse(sqrt(1 - beta2**step)) + eps), v


@transform(invariant=("sign",), square_avg=square)
def divide_by_raw_rms(u: Tensor, grad: Tensor, square_avg: Tensor, *, alpha: float, eps: float) -> Any:
    """v ← αv + (1-α) grad²;  u ← u / (√v + ε): RMSProp's denominator.

    Reference: "Lecture 6.5 - rmsprop: Divide the gradient by a running average of its recent magnitude",
    Tijmen Tieleman, Geoffrey Hinton, 2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    """
    v = square_avg.lerp(grad.square(), 1 - alpha)
    return u / (v.sqrt() + eps), v


@transform(invariant=("sign",), sum=square)
def divide_by_root_of_sum(u: Tensor, grad: Tensor, sum: Tensor, *, eps: float) -> Any:
    """s ← s + grad²;  u ← u / (√s + ε): AdaGrad's denominator.

    Reference: "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", John Duchi,
    Elad Hazan, Yoram Singer, 2011, https://jmlr.org/papers/v12/duchi11a.html
    """
    s = sum + grad.square()
    return u / (s.sqrt() + eps), s


@transform(invariant=("sign",), scope="tensor", holds=("magnitude", "direction"))
def graft_once_started(
    u: Tensor, magnitude: Any, direction: Any, *, started: bool, eps: float = 1e-16
) -> Tensor:
    """As :func:`graft` in the steps where ``started`` holds; before, M(u) itself, while D gathers its statistics.

    Reference: "Scalable Second Order Optimization for Deep Learning", Rohan Anil, Vineet Gupta, Tomer Koren, Kevin
    Regan, Yoram Singer, 2020, https://arxiv.org/abs/2002.09018
    """
    long, straight = magnitude(u), direction(u)
    if not started:
        return long
    size, own = (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) for x in (long, straight))
    return straight * (size / (own + eps))


@transform(invariant=("sign",), holds=("rule",), tiles=True)
def in_blocks(u: Tensor, rule: Any, *, block_size: int, merge: int = 0) -> Tensor:
    """u ← rule(u), every matrix cut into blocks of at most ``block_size`` rows and columns, each a matrix of its own.

    A matrix of at most ``merge`` entries becomes one row. All rules of the chain that see matrices see these blocks; a
    view of one parameter does the same: ``"o i -> o i | block=1024"``.

    Reference: "Scalable Second Order Optimization for Deep Learning", Rohan Anil, Vineet Gupta, Tomer Koren, Kevin
    Regan, Yoram Singer, 2020, https://arxiv.org/abs/2002.09018
    """
    return rule(u)
