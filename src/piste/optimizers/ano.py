"""Ano and Anolog."""

from __future__ import annotations

import math
from typing import Any

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.composites import signed_magnitude
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.sign import scale_by_ano


def _growing(step: int) -> float:
    return 1 - 1 / math.log(step + 2)


def _ano(name: str, lr: Any, beta1: Any, beta2: Any, eps: Any, weight_decay: Any) -> Chain:
    if beta2 < 0.5:
        raise ValueError(
            f"{name}: a second beta under 0.5 makes v negative; got {beta2} (the default is 0.99)"
        )
    return chain(
        signed_magnitude(ema(beta1), scale_by_ano(beta2, eps)), decay_weights(weight_decay), descend(lr)
    )


@optimizer
def Ano(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.92, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Chain:
    """Against the momentum's sign, as far as today's gradient is large: momentum says which way, not how far.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂) sign(g² - v) g²
        p ← p - η (|g| / √(v/(1-β₂ᵗ) + ε) sign m + λp)

    When: gradients so noisy, or goals that move so fast (reinforcement learning), that an average of them is too short:
    the length of the step does not shrink with it. Where noise is low it is said to be on a par with Adam.

    Reference: "ANO : Faster is Better in Noisy Landscape", Adrien Kegreisz, 2025, https://arxiv.org/abs/2508.18258

    Equal to the author's code (Adrienkgz/ano-experiments at d53839a) to 1e-15 over 40 steps in float64.
    The paper's text has Yogi's v ← v - (1-β₂) sign(v - g²) g², which does not decay v, and ε behind the root (read in a
    summary).
    """
    return _ano("Ano", lr, betas[0], betas[1], eps, weight_decay)


@optimizer
def Anolog(lr: float = 1e-4, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> Chain:
    """Ano with a momentum whose memory grows with the run.

        β₁ = 1 - 1 / log(t + 2), else as Ano

    When: as Ano, with a hyperparameter less; the longer the run the smoother its direction.

    Reference: "ANO : Faster is Better in Noisy Landscape", Adrien Kegreisz, 2025, https://arxiv.org/abs/2508.18258

    Equal to the author's code (Adrienkgz/ano-experiments at d53839a) to 1e-15 over 40 steps in float64, with two lines
    of it changed: it has log(max(2, t)), by which β₁ is -0.44 in the first two steps, and does not debias v (the
    author's package ano-optimizer 1.0.0 does). t + 2 is what a summary of the paper says.
    """
    return _ano("Anolog", lr, _growing, beta2, eps, weight_decay)
