"""Clip-RAdaGradD."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.clipping import clip_by_global_norm
from ..transforms.decay import decay_new_weights, descend
from ..transforms.heavy_tails import scale_by_delayed_adagrad, scale_by_delayed_adagrad_norm


@optimizer
def ClipRAdaGradD(
    lr: float = 1e-3,
    max_norm: float = 1.0,
    eta: float = 1.0,
    initial_accumulator_value: float = 1e-4,
    coordinates: bool = False,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> Chain:
    """AdaGrad on clipped gradients, with a weight on its sum and a rate that today's gradient does not yet bear on.

        ĝ = g min(1, c/‖g‖);    p ← p - η_t ĝ/b;    b² ← b² + η‖ĝ‖²        one b for all
        p ← p - η_t ĝ / (√s + ε);    s ← s + ηĝ²                           with ``coordinates``

    For heavy-tailed noise: AdaGrad's rate is spoilt for good by one huge gradient, and its failures are as probable as
    those are; clipped, the error grows with the logarithm of the confidence only. b₀² = ``initial_accumulator_value``
    is what the first rates are, η_t/b₀ (1e-4, c = 1 and lr = 1e-3 are the authors' for fine-tuning); η = ``eta`` = lr²
    is what they have on quadratics, where b then falls behind: rates fall the later the smaller lr.

    One b is the form of the theory; coordinates are what the authors train networks with. Equal to their code on
    quadratics (Andron00e/Clipped-AdaGrad-and-Adam at 64157f8, the notebook, η = lr²) to 2e-16 over 40 steps in float64.
    In their optimizer for networks (AdaGradClip_Delayed_Etta at d2ff43f) the step, too, is the last gradient's, which
    looks like a slip: here it is today's, over sums without it, as in the notebook. Their clipping "local" is by
    tensor; here the norm is the whole model's.

    Reference: "Gradient Clipping Improves AdaGrad when the Noise Is Heavy-Tailed", Savelii Chezhegov, Yaroslav Klyukin,
    Andrei Semenov, Aleksandr Beznosikov, Alexander Gasnikov, Samuel Horváth, Martin Takáč, Eduard Gorbunov, 2024,
    https://arxiv.org/abs/2406.04443
    """
    if not initial_accumulator_value > 0:
        raise ValueError(
            "ClipRAdaGradD: initial_accumulator_value must be positive, since the first step is divided by its root: "
            f"got {initial_accumulator_value} (the authors' is 1e-4)"
        )
    if coordinates:
        rule = scale_by_delayed_adagrad(eta, eps, initial_accumulator_value)
    else:
        rule = scale_by_delayed_adagrad_norm(eta, initial_accumulator_value)
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    return chain(clip_by_global_norm(max_norm), rule, descend(lr), *decay)
