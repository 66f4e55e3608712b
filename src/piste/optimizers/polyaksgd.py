"""SGD with Polyak's step: the loss itself says how far to go."""

from __future__ import annotations

import math

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.backprop import backprop
from ..transforms.decay import decay_weights, descend
from ..transforms.polyak import scale_by_polyak, scale_by_smooth_polyak


def _positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: {key} must be positive, not {value}")


@optimizer
def PolyakSGD(
    lr: float = 1.0,
    f_star: float = 0.0,
    max_step: float = math.inf,
    c: float = 1.0,
    weight_decay: float = 0.0,
) -> Chain:
    """SGD whose every step ends where the linear model of the batch's loss meets its least value.

        γ = min((f - f*) / c‖g‖², γ_max);   p ← p - η (γg + λp)

    Needs ``step(closure)``. For models that fit every batch (interpolation), with no rate to tune: leave ``lr`` at 1.
    f* is the least loss of a batch (0 for most); where it is not reached bound the step by ``max_step``: that is the
    paper's SPS_max, with c = 1/2 in its code's synthetic experiments. c = 1 is Polyak's own. With ``f_star=0`` and
    c = 1, ``max_step`` is ALI-G's largest rate (which adds a small number to ‖g‖²; its momentum is left out).
    :class:`SPS` bounds the growth of the step instead.

    Equal to the authors' code (IssamLaradji/sps at 6d112a1, ``adapt_flag="constant"``, and eps 0 as in its experiments)
    to 2e-16 over 40 steps in float64.

    Reference: "Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate for Fast Convergence", Nicolas Loizou,
    Sharan Vaswani, Issam Laradji, Simon Lacoste-Julien, 2021, https://arxiv.org/abs/2002.10542
    Reference: "Training Neural Networks for and by Interpolation", Leonard Berrada, Andrew Zisserman, M. Pawan Kumar,
    2020, https://arxiv.org/abs/1906.05661
    """
    _positive("PolyakSGD", max_step=max_step, c=c)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(backprop(), scale_by_polyak(f_star, max_step, c), *decay, descend(lr))


@optimizer
def SPS(
    lr: float = 1.0,
    c: float = 0.5,
    gamma: float = 2.0,
    n_batches_per_epoch: int = 500,
    init_step_size: float = 1.0,
    f_star: float = 0.0,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Chain:
    """SGD with Polyak's step, which may grow by a factor an epoch: the paper's smoothing, for networks.

        γ ← min(τ^(1/b) γ, (f - f*) / (c‖g‖² + ε));   p ← p - η (γg + λp)

    Needs ``step(closure)``. For networks that fit their data; leave ``lr`` at 1, tell it the b batches of an epoch
    (``n_batches_per_epoch``). τ = ``gamma``. c = 0.2 to 0.5 in the authors' experiments; smaller is faster and less
    stable.

    Equal to the authors' code (IssamLaradji/sps at 6d112a1) to 6e-15 over 40 steps in float64, but that after a
    gradient of zero, or a loss below f*, the step goes on from what it was (there it stays 0 for good).

    Reference: "Stochastic Polyak Step-size for SGD: An Adaptive Learning Rate for Fast Convergence", Nicolas Loizou,
    Sharan Vaswani, Issam Laradji, Simon Lacoste-Julien, 2021, https://arxiv.org/abs/2002.10542
    """
    _positive("SPS", c=c, gamma=gamma, n_batches_per_epoch=n_batches_per_epoch, init_step_size=init_step_size)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    rule = scale_by_smooth_polyak(f_star, c, gamma, n_batches_per_epoch, init_step_size, eps)
    return chain(backprop(), rule, *decay, descend(lr))
