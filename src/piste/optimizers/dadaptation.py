"""D-Adaptation: the distance to the solution, estimated from below."""

from __future__ import annotations

import math
from typing import Any

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptation import descend_dadapt_adam, descend_dadapt_lion, descend_dadapt_sgd
from ..transforms.decay import decay_weights


def _begins(name: str, d0: float, growth_rate: float = math.inf) -> None:
    if not d0 > 0:
        raise ValueError(f"{name}: d0, the first estimate of the distance, must be positive (1e-6), not {d0}")
    if not growth_rate > 1:
        raise ValueError(
            f"{name}: growth_rate must be above 1 (math.inf: as fast as it likes), not {growth_rate}"
        )


def _corrected(lr: Any, beta1: float, beta2: float) -> Any:
    """Adam's bias correction, as a factor on the rate."""
    return lambda step: lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)


@optimizer
def DAdaptSGD(
    lr: float = 1.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    d0: float = 1e-6,
    growth_rate: float = math.inf,
) -> Chain:
    """SGD (dual averaging) whose rate is an estimate of the distance to the solution, that is never too large.

        λ = ηd/‖g₀‖;   s ← s + λg;   d̂ = 2 Σ λ⟨g, s⟩ / ‖s‖;   d ← max(d, min(d̂, κd))
        p ← μp + (1-μ)(p₀ - s)

    Leave ``lr`` at 1, with the schedule that SGD would have. κ = ``growth_rate``: 1.02 if it is unstable. The authors'
    networks have momentum 0.9. The decay is L2.

    Equal to the authors' code (facebookresearch/dadaptation at c984980) to 2e-13 over 40 steps in float64; there g₀
    is without the decay.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    """
    _begins("DAdaptSGD", d0, growth_rate)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, descend_dadapt_sgd(lr, momentum, d0, growth_rate))


@optimizer
def DAdaptAdam(
    lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    use_bias_correction: bool = False,
    d0: float = 1e-6,
    growth_rate: float = math.inf,
) -> Chain:
    """Adam whose rate is an estimate of the distance to the solution; β = √β₂.

        λ = ηd;   r ← βr + (1-β) λ⟨g, s/(√v + ε)⟩;   s ← βs + (1-β)λg
        m ← β₁m + (1-β₁)λg;   v ← β₂v + (1-β₂)g²;   p ← p - m/(√v + ε) - λ·wd·p
        d ← max(d, min(r / (1-β)‖s‖₁, κd))

    Leave ``lr`` at 1, with the schedule that Adam would have. κ = ``growth_rate``: 1.02 is a kind of warm-up. Norms are
    over all parameters. The decay is decoupled (the authors' ``decouple=True``); it may have to be 2 to 4 times what it
    is elsewhere (their README).

    Equal to the authors' code (facebookresearch/dadaptation at c984980, version 3: the paper's preprint has another
    rule) to 2e-12 over 40 steps in float64. Their ``layer_scale`` is left out.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    """
    _begins("DAdaptAdam", d0, growth_rate)
    rate = _corrected(lr, *betas) if use_bias_correction else lr
    return chain(descend_dadapt_adam(rate, *betas, eps, weight_decay, d0, growth_rate))


@optimizer
def DAdaptLion(
    lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0, d0: float = 1e-6
) -> Chain:
    """Lion whose rate is an estimate of the distance to the solution; β = √β₂.

        λ = ηd;   u = sign(β₁m + (1-β₁)g);   m ← β₂m + (1-β₂)λg;   p ← p - λ(u + wd·p)
        r ← βr + (1-β) λ⟨u, s⟩;   s ← βs + (1-β)λu;   d ← max(d, r / (1-β)‖s‖₁)

    The authors call it highly experimental; :class:`DAdaptAdam` is better tried. m averages λg, as their code has it,
    so that the sign is that of the gradient while λ is small.

    Equal to the authors' code (facebookresearch/dadaptation at c984980) to 4e-16 over 40 steps in float64.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    Reference: "Symbolic Discovery of Optimization Algorithms", Xiangning Chen et al., 2023,
    https://arxiv.org/abs/2302.06675
    """
    _begins("DAdaptLion", d0)
    return chain(descend_dadapt_lion(lr, *betas, weight_decay, d0))
