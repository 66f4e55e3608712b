"""Shampoo."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.shampoo import scale_by_shampoo


@optimizer
def Shampoo(
    lr: float = 0.1,
    momentum: float = 0.0,
    eps: float = 1e-4,
    weight_decay: float = 0.0,
    precondition_frequency: int = 1,
    max_precond_dim: int = 768,
    beta2: float = 1.0,
    exponents: tuple[float, float] = (0.5, 0.25),
) -> Chain:
    """AdaGrad with a full matrix for every axis in place of one rate per number.

        g ← g + λp
        L ← L + ggᵀ;   R ← R + gᵀg;   m ← μm + (1-μ)g
        p ← p - η (L + εI)^(-1/4) m (R + εI)^(-1/4)           a vector: p - η (R + εI)^(-1/2) m

    The statistics are sums, so the rate falls on its own, as Adagrad's; with ``beta2`` below 1 they are averages,
    L ← β₂L + (1-β₂)ggᵀ, debiased as Adam's. ``exponents`` are those of a tensor with one factor and with two: (½, ½)
    is what Morwani et al. find nearer to the full matrix. The roots are taken anew in the first step and every
    ``precondition_frequency`` after it: take 10 to 100 when they dominate the step. lr is sensitive to the scale
    of the gradients (grafting Adam's or SGD's length is the usual cure: :class:`DistributedShampoo`); for a method
    that needs no such care see :class:`SOAP`.

    A gradient that is not finite adds nothing to the statistics; a root that would not be finite stays the last good
    one, the identity at first, and ``opt.metrics()["recovered_share"]`` tells how many did.

    Differs from the paper: a tensor of more than two axes is preconditioned as a matrix [first axis, the others] (given
    a module, a fused projection as one per part), and an axis of length 1 has no factor. As in the authors' TensorFlow
    code, momentum averages the gradient before it is preconditioned, and an axis longer than ``max_precond_dim`` keeps
    a diagonal only. Adding εI at the root is the paper's L₀ = εI.

    Reference: "Shampoo: Preconditioned Stochastic Tensor Optimization", Vineet Gupta, Tomer Koren, Yoram Singer, 2018,
    https://arxiv.org/abs/1802.09568
    Reference: "A New Perspective on Shampoo's Preconditioner", Depen Morwani, Itai Shapira, Nikhil Vyas, Eran Malach,
    Sham Kakade, Lucas Janson, 2024, https://arxiv.org/abs/2406.17748
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    inner = chain(ema(momentum)) if momentum else chain()
    refresh = every(precondition_frequency, phase=1)
    rule = scale_by_shampoo(inner, eps, max_precond_dim, refresh, beta2, *exponents)
    return chain(*decay, rule, descend(lr))
