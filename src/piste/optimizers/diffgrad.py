"""diffGrad."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import debias_adam, scale_by_raw_adam
from ..transforms.friction import with_friction
from .nadam import decaying


@optimizer
def DiffGrad(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Chain:
    """Adam with friction where the gradient does not change: half its step there, all of it where it changes fast.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²;   ξ = 1/(1 + exp(-|g - last g|))
        p ← p - η √(1-β₂ᵗ)/(1-β₁ᵗ) ξ m / (√v + ε)

    When: to come to rest in a minimum. ξ is not free of units: with gradients below 0.1, most networks', it is ½ and
    the method is Adam at half its rate; with large ones it is Adam. So lr is Adam's to twice Adam's. The decay passes
    through the scaling, and counts in the change.

    Equal to the authors' code (shivram1987/diffGrad at 73233ba, diffGrad_v2.py) to 5e-19 over 40 steps in float64.
    Their first file, which the paper's experiments used, compares the gradient with itself, so that ξ = ½ after the
    first step: the same steps as Adam's at half the rate.

    Reference: "diffGrad: An Optimization Method for Convolutional Neural Networks", Shiv Ram Dubey, Soumendu
    Chakraborty, Swalpa Kumar Roy, Snehasis Mukherjee, Satish Kumar Singh, Bidyut Baran Chaudhuri, 2019,
    https://arxiv.org/abs/1909.11015
    """
    rule = chain(with_friction(scale_by_raw_adam(*betas, eps)), debias_adam(*betas))
    return decaying(rule, lr, weight_decay, decoupled=False)
