"""Averages of the path, kept beside the weights or steering them. All see the step δ before it is taken, so that the
average holds the new point p + δ; their views are the weights to evaluate."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import scalar, transform, weights
from ._numbers import maximum, ratio, where


@transform(room="delta", average=weights)
def ema_weights(
    u: Tensor,
    param: Tensor,
    step: Any,
    average: Tensor,
    *,
    decay: float = 0.999,
    start: int = 1,
    every: int = 1,
    blend: float = 1.0,
) -> Any:
    """a ← βa + (1-β)(p + δ) at the steps start, start + every, ...; until the first of them a is p itself.

    The view is p + b(a - p), the average itself for ``blend`` b = 1.

    As ``torch.optim.swa_utils.get_ema_multi_avg_fn``: the average begins at the first averaged point, undebiased.

    Reference: "Acceleration of Stochastic Approximation by Averaging", B. T. Polyak, A. B. Juditsky, 1992,
    https://doi.org/10.1137/0330046
    """
    share = where(step <= start, 1.0, where((step - start) % every == 0, 1 - decay, 0.0))
    return u, average + share * (param + u - average)


@ema_weights.view
def average_ema(param: Tensor, average: Tensor, *, blend: float) -> Tensor:
    """The exponential average, or a point on the way to it."""
    return param + blend * (average - param)


@transform(room="delta", average=weights)
def swa(u: Tensor, param: Tensor, step: Any, average: Tensor, *, start: int = 1, every: int = 1) -> Any:
    """a ← a + (p + δ - a)/n over the n points at the steps start, start + every, ...; until then a is p itself.

    The authors average once per epoch or cycle over the last quarter of a run at a constant or cyclical rate, and
    re-estimate BatchNorm: ``opt.averaged(model, batches=loader)``. From one iteration on to the end, every iterate and
    no validation data: that is SMA, and WAKD's rule for a distilled student.

    Reference: "Averaging Weights Leads to Wider Optima and Better Generalization", Pavel Izmailov,
    Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov, Andrew Gordon Wilson, 2018, https://arxiv.org/abs/1803.05407
    Reference: "Weight Averaging Improves Knowledge Distillation under Domain Shift", Valeriy Berezovskiy, Nikita
    Morozov, 2023, https://arxiv.org/abs/2309.11446
    """
    n = maximum((step - start) // every + 1, 1)
    share = where(step <= start, 1.0, where((step - start) % every == 0, 1 / n, 0.0))
    return u, average + share * (param + u - average)


@swa.view
def average_swa(average: Tensor) -> Tensor:
    """The equal-weight mean."""
    return average


@transform(room="delta", average=weights)
def switch_ema(
    u: Tensor, param: Tensor, step: Any, average: Tensor, *, decay: float = 0.999, every: int = 1
) -> Any:
    """a ← βa + (1-β)(p + δ) after each step, and every k-th step ends at a: the average is trained on.

    k is an epoch's steps. The average goes on from where it is, the inner rule's moments are left alone. (The authors'
    hooks for classification switch in all epochs but those they are told to; this is the paper's text.)

    Reference: "Switch EMA: A Free Lunch for Better Flatness and Sharpness", Siyuan Li, Zicheng Liu, Juanxi Tian, Ge
    Wang, Zedong Wang, Weiyang Jin, Di Wu, Cheng Tan, Tao Lin, Yang Liu, Baigui Sun, Stan Z. Li, 2024,
    https://arxiv.org/abs/2402.09240
    """
    behind = average + (1 - decay) * (param + u - average)
    return where(step % every == 0, behind - param, u), behind


@switch_ema.view
def switched(average: Tensor) -> Tensor:
    """The exponential average that is trained on at each switch."""
    return average


@transform(room="delta", slow=weights)
def lookahead(
    u: Tensor, param: Tensor, step: Any, slow: Tensor, *, k: int = 5, alpha: float = 0.5, lr: float = 1.0
) -> Any:
    """Every k steps φ ← φ + α(p + δ - φ) and the step ends at φ; between them the weights run ahead alone.

    α = 0.5 and k = 5 are the paper's (the authors' code has α = 0.8). The inner momentum is left as it is, their
    default. A step at the rate ``lr`` = 0 does not end at φ, so that it moves nothing.

    Reference: "Lookahead Optimizer: k steps forward, 1 step back", Michael R. Zhang, James Lucas, Geoffrey Hinton,
    Jimmy Ba, 2019, https://arxiv.org/abs/1907.08610
    """
    meets = (step % k == 0) & (lr != 0)
    behind = slow + where(meets, alpha, 0.0) * (param + u - slow)
    return where(meets, behind - param, u), behind


@lookahead.view
def slow_weights(slow: Tensor) -> Tensor:
    """The slow weights."""
    return slow


@transform(room="delta", z=weights, weight_sum=scalar(shared=True), lr_max=scalar(shared=True))
def schedule_free(
    u: Tensor, param: Tensor, step: Any, z: Tensor, weight_sum: Tensor, lr_max: Tensor, *,
    lr: float, momentum: float, r: float = 0.0, weight_lr_power: float = 2.0,
) -> Any:  # fmt: skip
    """Any base rule without a schedule: z takes its steps, x averages them, the gradient is taken at y, between both.

        z ← z + δ;    x ← (1-c)x + cz;    y ← βx + (1-β)z
        c = ω/Σω,  ω = tʳ (largest η so far)^q

    The weights that the model holds are y. x is not kept: y moves by c(z - y) + (1 - β(1-c))δ, and the view recovers
    x = y + (1 - 1/β)(z - y).

    A step at η = 0 has ω = 0, so that it moves nothing; in the authors' code it still averages.

    Reference: "The Road Less Scheduled", Aaron Defazio, Xingyu (Alice) Yang, Harsh Mehta, Konstantin Mishchenko,
    Ahmed Khaled, Ashok Cutkosky, 2024, https://arxiv.org/abs/2405.15682
    """
    largest = maximum(lr, lr_max)
    weight = where(lr == 0, 0.0, step**r * largest**weight_lr_power)
    total = weight_sum + weight
    return *_primal(u, param, z, ratio(weight, total), momentum), total, largest


def _primal(u: Tensor, param: Tensor, z: Tensor, c: Any, momentum: Any) -> tuple[Tensor, Tensor]:
    """How y moves, and z: x ← (1-c)x + cz and y = βx + (1-β)z, x not kept."""
    return c * (z - param) + (1 - momentum * (1 - c)) * u, z + u


@schedule_free.view
def averaged_weights(param: Tensor, z: Tensor, *, momentum: float) -> Tensor:
    """x, the average of the base rule's path."""
    return param + (1 - 1 / momentum) * (z - param)


@transform(room="delta", z=weights)
def primal_averaging(
    u: Tensor, param: Tensor, z: Tensor, *, averaging: float = 0.9967, interpolation: float = 0.7
) -> Any:
    """Any base rule, its gradient taken between where it is and the exponential average of where it was.

        z ← z + δ;    x ← μ_x x + (1-μ_x) z;    y ← μ_y x + (1-μ_y) z

    The weights that the model holds are y; the view recovers x, for evaluation. With SGD inside, μ_y = 1 is heavy ball
    and μ_y = μ_x Nesterov's momentum, both at the rate over 1 - μ_x; μ_x = 0 is the base rule. It replaces DiLoCo of H
    inner steps on one worker with μ_x = 0.9^(1/H).

    A weight decay before it moves x, y and z alike, as the method's text has it; the authors' code moves z and leaves y
    a share of the decay behind.

    Reference: "Smoothing DiLoCo with Primal Averaging for Faster Training of LLMs", Aaron Defazio, Konstantin
    Mishchenko, Parameswaran Raman, Hao-Jun Michael Shi, Lin Xiao, 2025, https://arxiv.org/abs/2512.17131
    """
    return _primal(u, param, z, 1 - averaging, interpolation)


@primal_averaging.view
def average_primal(param: Tensor, z: Tensor, *, interpolation: float) -> Tensor:
    """x, the exponential average of the base rule's path."""
    return param + (1 - 1 / interpolation) * (z - param)
