"""Yogi."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import debias_adam
from ..transforms.grafting import from_average
from ..transforms.momentum import ema
from ..transforms.second_moments import divide_by_yogi
from .nadam import decaying


@optimizer
def Yogi(
    lr: float = 1e-2,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-3,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 1e-6,
    correct_bias: bool = True,
) -> Chain:
    """Adam whose second moment moves by the size of what comes in, so that effective rates rise slowly.

        m ← β₁m + (1-β₁)g;   v ← v - (1-β₂) sign(v - g²) g²
        p ← p - η √(1-β₂ᵗ)/(1-β₁ᵗ) m / (√v + ε)

    When: gradients that are rare or die away, whose size Adam forgets within 1/(1-β₂) steps; what they leave in v here
    is lost only as fast as small squares add up. The authors take ε = 1e-3, far larger than Adam's, and lr 1e-2. The
    decay passes through the scaling. Without ``correct_bias`` it is the paper's algorithm 2.

    Follows TensorFlow Addons' code (tensorflow/addons at 23bd494; none of the authors' was found), where v starts at
    1e-6 and m at 0, without its proximal L1 and L2; equal to it to 7e-17 over 40 steps, transcribed to float64. optax
    and others start m, too, at 1e-6.

    Reference: "Adaptive Methods for Nonconvex Optimization", Manzil Zaheer, Sashank J. Reddi, Devendra Sachan, Satyen
    Kale, Sanjiv Kumar, 2018,
    https://proceedings.neurips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html
    """
    beta1, beta2 = betas
    if initial_accumulator_value < 0:
        raise ValueError(
            f"Yogi: initial_accumulator_value must not be negative, it is a square; got {initial_accumulator_value}"
        )
    rule = chain(from_average(ema(beta1), divide_by_yogi(beta2, eps, initial_accumulator_value)))
    if correct_bias:
        rule = chain(rule, debias_adam(beta1, beta2))
    return decaying(rule, lr, weight_decay, decoupled=False)
