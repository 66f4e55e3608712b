"""Sharpness-aware minimization."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.sam import sam
from .adam import AdamW
from .sgd import SGD


@optimizer
def SAM(
    lr: float = 0.1,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    rho: float = 0.05,
    adaptive: bool = False,
) -> Chain:
    """SGD on the gradient taken where the loss, within ρ, is worst: it prefers wide minima.

        e = ρ g / ‖g‖,  g = ∇f(w)           adaptive: ρ w²g / ‖wg‖
        w ← SGD's step from w with ∇f(w + e)

    Needs ``step(closure)``, and two evaluations a step. For vision models trained long on little data, where the
    authors gain most; they search ρ from 0.01 to 0.5 and settle on 0.05 for most; the adaptive form wants ten times as
    much and more (0.5 and 1.0 on CIFAR-10 and -100). The authors compute the climb on each device's own part of the
    batch; here it is the whole closure's.

    Reference: "Sharpness-Aware Minimization for Efficiently Improving Generalization", Pierre Foret, Ariel Kleiner,
    Hossein Mobahi, Behnam Neyshabur, 2021, https://arxiv.org/abs/2010.01412
    Reference: "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks",
    Jungmin Kwon, Jeongseop Kim, Hyunseo Park, In Kwon Choi, 2021, https://arxiv.org/abs/2102.11600
    """
    return chain(sam(rho, adaptive), SGD.chain(lr, momentum, 0.0, nesterov, weight_decay))


@optimizer
def SAMAdamW(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    rho: float = 0.05,
    adaptive: bool = False,
) -> Chain:
    """AdamW on the gradient taken where the loss, within ρ, is worst: for transformers.

        e = ρ g / ‖g‖,  g = ∇f(w);    w ← AdamW's step from w with ∇f(w + e)

    Needs ``step(closure)``, and two evaluations a step. Vision transformers trained from scratch want a larger ρ than
    convolutional networks do (the second reference).

    Reference: "Sharpness-Aware Minimization for Efficiently Improving Generalization", Pierre Foret, Ariel Kleiner,
    Hossein Mobahi, Behnam Neyshabur, 2021, https://arxiv.org/abs/2010.01412
    Reference: "When Vision Transformers Outperform ResNets without Pre-training or Strong Data Augmentations",
    Xiangning Chen, Cho-Jui Hsieh, Boqing Gong, 2022, https://arxiv.org/abs/2106.01548
    """
    return chain(sam(rho, adaptive), AdamW.chain(lr, betas, eps, weight_decay))
