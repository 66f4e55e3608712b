"""Adafactor."""

from __future__ import annotations

from typing import Any

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms._numbers import maximum
from ..transforms.decay import decay_weights, descend
from ..transforms.factored import clip_by_rms, descend_ever_slower, scale_by_factored_rms, scale_by_param_rms
from ..transforms.momentum import ema


def _rising(power: Any) -> Any:
    """1 - t^c: at the first step the average is the first square, and it never forgets at a constant rate."""
    return lambda step: 1 - maximum(step, 1) ** power


@optimizer
def Adafactor(
    lr: float = 1e-2,
    beta2_decay: float = -0.8,
    eps: tuple[float, float] = (1e-30, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
    beta1: float = 0.0,
    scale_parameter: bool = True,
    relative_step: bool = True,
) -> Chain:
    """Adam's scaling with m + n numbers for an m × n matrix, no momentum, and steps relative to the weights.

        β₂ = 1 - t^c  (c = ``beta2_decay``);   r ← β₂r + (1-β₂) mean_j (g² + ε₁);   c ← β₂c + (1-β₂) mean_i (g² + ε₁)
        u = g / √(rcᵀ / mean r);   u ← u / max(1, RMS(u)/d);   u ← β₁-average of max(ε₂, RMS(p)) u
        p ← p - min(η, 1/√t) u - ηλp

    Where AdamW's state does not fit: it is all but gone (unless ``beta1`` asks for a momentum). The paper's η is 1e-2,
    of the size of each parameter; ``relative_step=False`` takes the given lr at every step, and with
    ``scale_parameter=False`` it is one like Adam's. A vector has all its second moments.

    Follows the paper's algorithms 4 and 5, with torch's keywords: equal to ``torch.optim.Adafactor`` to 2e-15 over 40
    steps on vectors and matrices in float64, but that it clamps roots and means of squares below at ``eps[0]`` where
    here, as in the paper, ε₁ is added to the squares, which speaks in gradients that are all but 0 only; and a
    convolution is factored here as a matrix of filters, there over the last two axes. The average comes before the
    step length (in t5x behind it), so that it ends with lr; decay is torch's, the paper has none.

    Reference: "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", Noam Shazeer, Mitchell Stern, 2018,
    https://arxiv.org/abs/1804.04235
    """
    if beta2_decay > 0:
        raise ValueError(f"Adafactor: beta2_decay is the power of 1 - t^c and not above 0, got {beta2_decay}")
    if d <= 0:
        raise ValueError(f"Adafactor: d bounds the root mean square of a step and is above 0, got {d}")
    rule = scale_by_factored_rms(_rising(beta2_decay), eps[0])
    relative = [scale_by_param_rms(eps[1])] if scale_parameter else []
    average = [ema(beta1)] if beta1 else []
    end = (
        chain(descend_ever_slower(lr, weight_decay))
        if relative_step
        else chain(decay_weights(weight_decay), descend(lr))
    )
    return chain(rule, clip_by_rms(d), *relative, *average, end)
