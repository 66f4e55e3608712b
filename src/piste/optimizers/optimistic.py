"""Optimistic online mirror descent."""

from __future__ import annotations

import math

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import descend
from ..transforms.hints import optimistic_ball


@optimizer
def OptimisticMirrorDescent(lr: float = 1e-2, radius: float = math.inf, offset: float = 1.0) -> Chain:
    """Every step is taken twice: for good, and once more ahead, as if the next gradient were this one.

        x̂ ← Π(x̂ - η_t g);  V ← V + ‖g - h‖²;  p ← Π(x̂ - η_{t+1} g);  h ← g
        η_t = η / √(ε + V),  V = Σ ‖g_s - g_{s-1}‖² of the steps before t

    For streams that change slowly or are noisy about something that does: the regret grows with the root of variance
    and variation and not of the number of steps; and for games, where plain descent circles. Π is the nearest point of
    the ball of ``radius`` around 0, all tensors as one vector; without one there is none. In the paper η is the
    domain's diameter D = 2r and ε = ``offset`` is δ + 4G² for gradients of at most G. State: two tensors and a number.

    With a step that does not adapt, and on the simplex, it is ``chain(hint_by_last_gradient(), descend(lr))`` and the
    same with ``exponentiate()`` behind it (both of `piste.transforms`). A step at η = 0 moves nothing (p is not taken
    back to x̂).

    The authors gave no code; the rule and the step sizes were read in a later paper of theirs. Equal to their group's
    package (li-lf/PyNOL at d347502, ``OptimisticOGD`` with ``last_grad``, told these η_t) to 2e-16 over 40 steps in
    float64.

    Reference: "Optimistic Online Mirror Descent for Bridging Stochastic and Adversarial Online Convex Optimization",
    Sijia Chen, Yu-Jie Zhang, Wei-Wei Tu, Peng Zhao, Lijun Zhang, 2023, https://arxiv.org/abs/2302.04552
    """
    if not radius > 0:
        raise ValueError(
            f"OptimisticMirrorDescent: radius must be positive (leave it out for none), got {radius}"
        )
    if not offset > 0:
        raise ValueError(
            f"OptimisticMirrorDescent: offset must be positive, or the first step has no length; got {offset}"
        )
    return chain(descend(lr), optimistic_ball(lr, radius, offset))
