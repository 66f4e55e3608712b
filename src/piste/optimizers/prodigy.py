"""Prodigy."""

from __future__ import annotations

import math

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptation import descend_prodigy
from .dadaptation import _begins, _corrected


@optimizer
def Prodigy(
    lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    use_bias_correction: bool = False,
    safeguard_warmup: bool = False,
    d0: float = 1e-6,
    d_coef: float = 1.0,
    growth_rate: float = math.inf,
) -> Chain:
    """Adam whose rate is the distance to the solution, estimated faster than by D-Adaptation: sums are weighted by d².

        r ← β₃r + ηd²/d₀ ⟨g, p₀ - p⟩;   s ← β₃s + ηd²/d₀ g;   d̂ = c r / ‖s‖₁
        m ← β₁m + (1-β₁)dg;   v ← β₂v + (1-β₂)d²g²
        d₊ = max(d, d̂);   p ← p - ηd (m / (√v + d₊ε) + wd·p);   d ← d₊

    β₃ = √β₂ unless it is given. Norms are over all parameters. Leave ``lr`` at 1, with no schedule or a cosine without
    restarts; to have larger or smaller rates change c = ``d_coef`` (0.5 to 2). With a warm-up take
    ``safeguard_warmup=True`` (η is left out of s), for diffusion models ``use_bias_correction=True`` and
    ``weight_decay=0.01`` as well. If d stays tiny, d0 = 1e-5 or 1e-4 (all of this: the authors' README).

    Equal to the authors' code (konstmish/prodigy at 3efb213) to 3e-14 over 40 steps in float64, with decoupled
    decay (their default). Left out: ``slice_p``, which looks at every p-th entry only.

    Reference: "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", Konstantin Mishchenko, Aaron Defazio, 2024,
    https://arxiv.org/abs/2306.06101
    """
    _begins("Prodigy", d0, growth_rate)
    if not d_coef > 0:
        raise ValueError(f"Prodigy: d_coef must be positive (1.0), not {d_coef}")
    rate = _corrected(lr, *betas) if use_bias_correction else lr
    beta3 = math.sqrt(betas[1]) if beta3 is None else beta3
    return chain(
        descend_prodigy(
            rate, 1.0 if safeguard_warmup else rate, *betas, beta3, eps, weight_decay, d0, d_coef, growth_rate
        )
    )
