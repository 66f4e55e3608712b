"""Lion."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.sign import scale_by_lion


@optimizer
def Lion(lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0) -> Chain:
    """The sign of a momentum, with one buffer only.

        p ← p - η (sign(β₁m + (1-β₁)g) + λp);   m ← β₂m + (1-β₂)g

    Every weight moves by η, so the authors advise an lr 3-10 times smaller than AdamW's and a weight decay 3-10 times
    larger. Equal to the authors' code.

    Reference: "Symbolic Discovery of Optimization Algorithms", Xiangning Chen et al., 2023,
    https://arxiv.org/abs/2302.06675
    """
    return chain(scale_by_lion(*betas), decay_weights(weight_decay), descend(lr))
