"""Gradient descent with energy: AEGD, entry by entry, and AEPG, preconditioned."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.backprop import backprop
from ..transforms.adaptive import scale_by_debiased_rms
from ..transforms.decay import decay_weights, descend
from ..transforms.energy import scale_by_aegd, scale_by_energy


@optimizer
def AEGD(lr: float = 0.1, c: float = 1.0, weight_decay: float = 0.0) -> Chain:
    """Gradient descent whose steps shrink with an energy that falls whatever the rate.

        l = √(f + c);   r ← r / (1 + 2η(∇l)²), from r = l;   p ← p - 2ηr∇l - ηλp,   ∇l = g / 2l

    Needs ``step(closure)``: the loss enters. f + c must stay positive. Stable for any ``lr``, which sets how fast the
    energy is spent: the authors start at 0.1, and their images take 0.2 to 0.9. For networks where SGD with a tuned
    schedule works.

    Equal to the authors' code (txping/AEGD at 50347c6) to 1e-15 over 40 steps in float64; the decay is their
    ``aegdw=True``.

    Reference: "AEGD: Adaptive Gradient Descent with Energy", Hailiang Liu, Xuping Tian, 2020,
    https://arxiv.org/abs/2010.05109
    Reference: "Adaptive Preconditioned Gradient Descent with Energy", Hailiang Liu, Levon Nurbekyan, Xuping Tian,
    Yunan Yang, 2023, https://arxiv.org/abs/2310.06733
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(backprop(), scale_by_aegd(lr, c), *decay, descend(lr))


@optimizer
def AEPG(
    lr: float = 0.1, beta2: float = 0.999, eps: float = 1e-8, c: float = 1.0, weight_decay: float = 0.0
) -> Chain:
    """Preconditioned gradient descent with one energy that falls whatever the rate.

        l = √(f + c);   A = √v̂ + ε, v ← β₂v + (1-β₂)g²
        r ← r / (1 + 2η ∇lᵀA⁻¹∇l), from r = l;   p ← p - 2ηr A⁻¹∇l - ηλp,   ∇l = g / 2l

    Needs ``step(closure)``: the loss enters. f + c must stay positive. The paper has A from the problem (the Hessian of
    a barrier, the metric of a natural gradient); for networks it is Adam's here. Any other goes before
    ``scale_by_energy`` in a chain.

    Reference: "Adaptive Preconditioned Gradient Descent with Energy", Hailiang Liu, Levon Nurbekyan, Xuping Tian,
    Yunan Yang, 2023, https://arxiv.org/abs/2310.06733
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    metric = scale_by_debiased_rms(beta2, eps)
    return chain(backprop(), metric, scale_by_energy(lr, c), *decay, descend(lr))
