"""What goes along with a normalized step: decay that does not pull, a look ahead, weights that keep their length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..._transform import chain
from ...transforms.decay import decay_weights, descend
from ...transforms.norms import take_sign
from ...transforms.radial import decay_shrinking_weights, ema_nesterov, hold_radius
from ..claim import at_most, claim, equal
from ..methods import of_chain
from .identities import farthest, walk
from .matrices import matrix
from .norms import _hessian

CAUTIOUS_DECAY = "Cautious Weight Decay"
LOOKAHEAD = "EMA-Nesterov: Stabilizing Nesterov's Lookahead for Accelerated Deep Learning Optimization"
BRAKE = "Radial brake: 2990-step result for Track 3"


def _signs(decay: Callable[[float], Any], behind: bool) -> Any:
    def make(lr: float) -> Any:
        parts = [take_sign(), descend(lr), decay(lr)] if behind else [take_sign(), decay(lr), descend(lr)]
        return chain(*parts)

    return of_chain(make)


@claim(
    "decay_shrinking_weights",
    CAUTIOUS_DECAY,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=_signs(lambda lr: decay_weights(0.5), behind=False),
    subject=_signs(lambda lr: decay_shrinking_weights(lr, 0.5), behind=True),
    seeds=3,
)
def cautious_decay_keeps_the_minima_of_the_loss(method: Any, seed: int) -> float:
    """Decoupled decay moves the fixed points of a rule, into a ball; decay of only those weights that the step shrinks
    leaves them at the stationary points of the loss.

    How far sign descent with the decay λ = 0.5 ends from the minimizer of ½‖x - c‖² (decoupled, it ends in the ball of
    radius 2): the largest coordinate's distance after 1,500 steps of η = 0.01 over the largest step that it can take
    there, η(1 + λ|c|).
    """
    target = 4 * matrix(seed, 1, 10)[0]
    points = walk(method, torch.zeros(10, dtype=torch.float64), lambda t, w: w - target, 1500, lr=0.01)
    return float(((points[-1] - target).abs() / (0.01 * (1 + 0.5 * target.abs()))).max())


@claim(
    "ema_nesterov",
    LOOKAHEAD,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=of_chain(lambda lr: chain(descend(lr), ema_nesterov(0.9, 0.9))),
    subject=of_chain(lambda lr: chain(descend(lr), ema_nesterov(0.9, 0.0))),
    seeds=2,
)
def looking_ahead_by_one_step_is_nesterovs_momentum(method: Any, seed: int) -> float:
    """With the trend of one step only (γ = 0) around gradient descent, EMA-Nesterov is Nesterov's method.

    The largest difference to SGD with Nesterov's momentum 0.9 over 60 steps on a quadratic.
    """
    a = _hessian(seed, 8)
    start = matrix(seed, 1, 8)[0]
    theirs = get("SGD", "optimizer").target
    ours = walk(method, start, lambda t, w: a @ w, 60, lr=0.02)
    return farthest(ours, walk(theirs, start, lambda t, w: a @ w, 60, lr=0.02, momentum=0.9, nesterov=True))


@claim(
    "hold_radius",
    BRAKE,
    kind="theorem",
    predicts=at_most(0.0),
    tolerance=1e-12,
    wrong=of_chain(lambda lr: chain(descend(lr))),
    subject=of_chain(lambda lr: chain(descend(lr), hold_radius())),
    seeds=2,
)
def steps_across_the_weights_do_not_make_them_longer(method: Any, seed: int) -> float:
    """Where the loss does not depend on the length of the weights its gradient is tangential, and the steps lengthen
    them only by their finite size; with the radius held they stay as long as they were.

    |‖w‖/‖w₀‖ - 1| after 100 steps on f(w/‖w‖), f a quadratic.
    """
    a, start = _hessian(seed, 10), matrix(seed, 1, 10)[0]

    def slope(_: int, w: Tensor) -> Tensor:
        unit = w / w.norm()
        g = a @ unit
        return (g - (g @ unit) * unit) / w.norm()

    points = walk(method, start, slope, 100, lr=0.3)
    return abs(float(points[-1].norm() / start.norm()) - 1)
