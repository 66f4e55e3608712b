"""RMSProp."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import scale_by_centered_rms, scale_by_rms
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import trace


@optimizer
def RMSProp(
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Chain:
    """The gradient over the root of a running average of its square: Adam's older sibling, without its debiasing.

        g ← g + λp
        v ← αv + (1-α)g²
        b ← μb + g / (√v + ε)             centred: √(v - a²) + ε with a ← αa + (1-α)g
        p ← p - η b

    Still common in reinforcement learning and for recurrent networks; elsewhere prefer :class:`AdamW`. v starts at
    zero and is not debiased, so the first steps are up to 1/√(1-α) times as long: warm up. The lecture takes α = 0.9.

    Equal to ``torch.optim.RMSprop``: ε outside the root, η outside the momentum buffer (TensorFlow 1 and Graves have
    both inside). Where rounding makes v - a² negative the root is taken of zero; torch gives NaN.

    Reference: "Lecture 6.5 - rmsprop: Divide the gradient by a running average of its recent magnitude",
    Tijmen Tieleman, Geoffrey Hinton, 2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    Reference: "Generating Sequences With Recurrent Neural Networks", Alex Graves, 2013,
    https://arxiv.org/abs/1308.0850
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    rule = scale_by_centered_rms if centered else scale_by_rms
    moving = [trace(momentum)] if momentum else []
    return chain(*decay, rule(alpha, eps), *moving, descend(lr))
