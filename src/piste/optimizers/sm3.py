"""SM3: AdaGrad under covers of rows and columns."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.covers import scale_by_sm3, scale_by_sm3_one
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema


@optimizer
def SM3(lr: float = 0.1, momentum: float = 0.9, eps: float = 1e-30, weight_decay: float = 0.0) -> Chain:
    """AdaGrad whose sums of squares are bounded by one number for each row and each column (SM3-II).

        ν = min(r_i, c_j) + g²;   r_i ← max_j ν;   c_j ← max_i ν
        m ← μm + (1-μ) g / √(ν + ε);   p ← p - η (m + λp)

    Where AdaGrad would do and a second buffer is too much: sparse features, large tables, very large batches. Rates
    fall by themselves, so the authors decay none; they warm up quadratically over 5 % of the steps, which the long
    first steps need. They name no default lr: 0.1 is here. ``momentum=0`` leaves no buffer of the weights' size.

    Follows the authors' code (google-research/sm3 at 0c1bbe5, in TensorFlow: read, not run) but that tensors of more
    than two axes are covered as matrices, where there each axis has a cover of its own; weight decay is not theirs.

    Reference: "Memory-Efficient Adaptive Optimization", Rohan Anil, Vineet Gupta, Tomer Koren, Yoram Singer, 2019,
    https://arxiv.org/abs/1901.11150
    """
    average = [ema(momentum)] if momentum else []
    return chain(scale_by_sm3(eps), *average, decay_weights(weight_decay), descend(lr))


@optimizer
def SM3I(lr: float = 0.1, momentum: float = 0.9, eps: float = 1e-30, weight_decay: float = 0.0) -> Chain:
    """SM3 as its paper has it first, with a looser bound: the sums of the largest squares of rows and of columns.

        r_i ← r_i + max_j g²;   c_j ← c_j + max_i g²;   ν = min(r_i, c_j)
        m ← μm + (1-μ) g / √(ν + ε);   p ← p - η (m + λp)

    For comparison: its ν is never below SM3's, so its rates are never larger. The authors publish code for the other.

    Reference: "Memory-Efficient Adaptive Optimization", Rohan Anil, Vineet Gupta, Tomer Koren, Yoram Singer, 2019,
    https://arxiv.org/abs/1901.11150
    """
    average = [ema(momentum)] if momentum else []
    return chain(scale_by_sm3_one(eps), *average, decay_weights(weight_decay), descend(lr))
