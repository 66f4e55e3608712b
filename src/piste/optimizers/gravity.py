"""Gravity."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import descend
from ..transforms.kinematic import scale_by_gravity


def _first(step: int) -> bool:
    return step == 1


@optimizer
def Gravity(lr: float = 0.1, alpha: float = 0.01, beta: float = 0.9) -> Chain:
    """A body that slides along the slope's inclined plane: the steeper beyond a point, the shorter its way.

        ζ = g / (1 + (g max|g|)²),  the maximum that of the tensor
        V ← β̂V + (1-β̂)ζ,  β̂ = (βt + 1)/(t + 2),  V₀ ~ N(0, (α/η)²)
        p ← p - ηV

    When: of interest for its bounded step, at most η / (2 max|g|) from one gradient. The authors keep η = 0.1, α = 0.01
    and β = 0.9 in all of their experiments. Two things to know: the bound is not in units of the loss, so that a loss
    ten times as large is another method; and V₀ moves every weight by about α in the first step, in units that the
    rate of that step sets: with a warm-up take ``alpha=0``.

    Reference: "Gravity Optimizer: a Kinematic Approach on Optimization in Deep Learning", Dariush Bahrami, Sadegh
    Pouriyan Zadeh, 2021, https://arxiv.org/abs/2101.09192

    Equal to the authors' PyTorch code (dariush-bahrami/gravity.optimizer at 9c12068) to 1e-16 over 40 steps in float64
    with α = 0.
    t is 1 in the first step, as in their PyTorch code (their Keras code begins at 0). V₀ is drawn from the optimizer's
    own numbers in the first step, by its rate, where theirs is drawn when it is made; at a rate of 0 it is 0.
    """
    if alpha < 0:
        raise ValueError(f"Gravity: alpha is a deviation and not negative, got {alpha}")
    return chain(scale_by_gravity(lr, alpha, beta, _first), descend(lr))
