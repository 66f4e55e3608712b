"""Online-to-non-convex conversion."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import drawn_uniformly
from ..transforms.decay import descend
from ..transforms.online import learn_in_ball, walk_along


@optimizer
def O2NC(lr: float = 1e-3, gain: float = 0.1, draw_seed: int = 0) -> Chain:
    """An online learner chooses the step, and the gradient is taken at a random point along it.

        v ← v + κg,  shortened to ‖v‖ ≤ 1;   Δ = -ηv
        w ← x + sΔ,  s uniform on [0, 1];   x ← x + Δ;   the next g is ∇f(w)

    For losses that are neither smooth nor convex: mean gradients over T steps, all within ηT of each other, become
    small at the best rate there is. Evaluate inside ``with opt.averaged(model):`` (x, the ends of the steps). η is the
    longest step; the theory has η = δ/T for a neighbourhood of radius δ and κ = 1/(G√T) for gradients of norm G, with T
    ∝ N^⅔ of N steps in all. s is one number for all parameters, drawn from ``draw_seed`` and the step.

    The conversion is that of the authors' group's code (``scale_by_o2nc``, in JAX), which keeps x beside w as here; the
    learner, projected gradient descent over the ball of radius η, is the paper's. It is not restarted every T steps.
    Differs: a step at η = 0 moves nothing, where theirs goes back from w to x. Any chain up to ``descend`` makes a
    learner: put ``transforms.walk_along`` behind it. The constants of the theory are from memory, not verified.

    Reference: "Optimal Stochastic Non-smooth Non-convex Optimization through Online-to-Non-convex Conversion",
    Ashok Cutkosky, Harsh Mehta, Francesco Orabona, 2023, https://arxiv.org/abs/2302.03775
    """
    if not gain > 0:
        raise ValueError(f"O2NC: gain must be positive (0 learns no step), got {gain}")
    return chain(learn_in_ball(gain), descend(lr), walk_along(lr, drawn_uniformly(seed=draw_seed)))
