"""Distributed Shampoo."""

from __future__ import annotations

import functools
from collections.abc import Callable

from .._define import optimizer
from .._registry import unknown
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.grafting import (
    divide_by_raw_rms,
    divide_by_rms,
    divide_by_root_of_sum,
    from_average,
    graft_once_started,
    in_blocks,
)
from ..transforms.momentum import debiased_ema, ema
from ..transforms.shampoo import precondition

# whose length is grafted: the denominator, from its decay and its epsilon
GRAFTING: dict[str, Callable[[float, float], Chain]] = {
    "none": lambda beta2, eps: chain(),
    "sgd": lambda beta2, eps: chain(),
    "adagrad": lambda beta2, eps: chain(divide_by_root_of_sum(eps)),
    "rmsprop": lambda beta2, eps: chain(divide_by_raw_rms(beta2, eps)),
    "adam": lambda beta2, eps: chain(divide_by_rms(beta2, eps)),
}


def renews(step: int, *, k: int, start: int) -> bool:
    return step == start or (step > start and step % k == 0)


def begun(step: int, *, start: int) -> bool:
    return step >= start


@optimizer
def DistributedShampoo(
    lr: float = 1e-2,
    betas: tuple[float, float] = (0.9, 1.0),
    epsilon: float = 1e-12,
    weight_decay: float = 0.0,
    max_preconditioner_dim: int = 1024,
    precondition_frequency: int = 1,
    start_preconditioning_step: int = 0,
    use_bias_correction: bool = True,
    exponents: tuple[float, float] = (0.5, 0.25),
    grafting: str = "none",
    grafting_beta2: float = 0.999,
    grafting_epsilon: float = 1e-8,
    merge_dims: bool = True,
) -> Chain:
    """Shampoo in blocks, with the length of a diagonal method.

        every matrix in blocks of at most max_preconditioner_dim rows and columns; for each of them
        L ← β₂L + (1-β₂)ggᵀ;   R ← β₂R + (1-β₂)gᵀg            β₂ = 1: sums
        m ← β₁m + (1-β₁)g;   u = (L̂ + εI)^(-1/4) m̂ (R̂ + εI)^(-1/4)          hats: debiased
        u ← ‖m̂ / (√v̂ + ε')‖ / ‖u‖ · u                        grafting
        p ← p - η (u + λp)

    For large models: a block's statistics are small however large the matrix, and with ``grafting`` ("adam", "rmsprop",
    "adagrad", "sgd" or "none") the learning rate of that method and its schedule carry over. The authors advise the
    betas of the method that is replaced, with ``grafting_beta2`` = β₂ and ``grafting_epsilon`` its ε, ``epsilon``
    1e-12, and as large a ``precondition_frequency`` as does no harm (10 to 100).

    Roots are taken anew in step ``start_preconditioning_step`` (0: ``precondition_frequency``, the authors' -1) and in
    every later multiple of ``precondition_frequency``. Before it the step is the grafted method's, or without one that
    of the momentum. Of sharded parameters each rank runs the rules of those it owns, so that roots are shared out.

    ``merge_dims``: a matrix of at most ``max_preconditioner_dim`` entries is one vector, preconditioned by one
    full matrix, as in the authors' default. A tensor of more axes is one matrix [first axis, the others], where they
    join neighbours as far as the product stays below ``max_preconditioner_dim`` and keep a factor for each axis left;
    a block of one row or column that is left over is a vector here, with two factors there. Else equal to the authors'
    code (facebookresearch/optimizers at f606606) to 5e-9 over 40 steps in float64, with every kind of grafting.
    A gradient or root that is not finite is met as in :class:`Shampoo`; they raise.

    Reference: "A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer for Training
    Neural Networks At-Scale", Hao-Jun Michael Shi, Tsung-Hsien Lee, Shintaro Iwasaki, Jose Gallego-Posada, Zhijing Li,
    Kaushik Rangadurai, Dheevatsa Mudigere, Michael Rabbat, 2023, https://arxiv.org/abs/2309.06497
    Reference: "Scalable Second Order Optimization for Deep Learning", Rohan Anil, Vineet Gupta, Tomer Koren, Kevin
    Regan, Yoram Singer, 2020, https://arxiv.org/abs/2002.09018
    """
    if grafting not in GRAFTING:
        raise ValueError(f"DistributedShampoo: {unknown('grafting', grafting, GRAFTING)}")
    beta1, beta2 = betas
    start = start_preconditioning_step or precondition_frequency
    refresh = functools.partial(renews, k=max(1, precondition_frequency), start=start)
    rule = precondition(
        epsilon, max_preconditioner_dim, refresh, beta2, *exponents, correct_bias=use_bias_correction
    )
    length = GRAFTING[grafting](grafting_beta2, grafting_epsilon)
    if grafting != "none":
        rule = graft_once_started(length, chain(rule), started=functools.partial(begun, start=start))
    average = debiased_ema(beta1) if use_bias_correction else ema(beta1)
    whole = from_average(chain(average) if beta1 else chain(), chain(rule))
    merge = max_preconditioner_dim if merge_dims else 0
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(in_blocks(chain(whole), max_preconditioner_dim, merge), *decay, descend(lr))
