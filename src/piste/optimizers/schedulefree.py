"""Schedule-free methods: no schedule, no stopping time."""

from __future__ import annotations

from typing import Any

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import scale_by_adam, scale_by_debiased_rms
from ..transforms.averaging import schedule_free
from ..transforms.decay import decay_weights, descend


def _warmed(lr: Any, steps: int) -> Any:
    return (lambda step: lr * min(1.0, step / steps)) if steps else lr


def _averages(name: str, momentum: Any) -> None:
    if momentum == 0:
        raise ValueError(
            f"{name} must be positive: the averaged weights are recovered from it (0.9 is the default)"
        )


@optimizer
def ScheduleFreeSGD(
    lr: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> Chain:
    """SGD whose averaged weights do what a decaying schedule would have done, at any moment.

        g = ∇f(y) + λy;    γ = η min(1, t / warmup_steps)
        z ← z - γg;   x ← (1-c)x + cz;   y ← βx + (1-β)z
        c = ω/Σω,  ω = tʳ (largest γ so far)^q

    Evaluate inside ``with opt.averaged(model):`` (x), never at the raw weights (y). The authors advise a rate 10 to 50
    times the classical one, a warm-up, and β = 0.95 or 0.98 for very long runs.

    Equal to the authors' code, but that a step at η = 0 moves nothing, where theirs still averages.

    Reference: "The Road Less Scheduled", Aaron Defazio, Xingyu (Alice) Yang, Harsh Mehta, Konstantin Mishchenko,
    Ahmed Khaled, Ashok Cutkosky, 2024, https://arxiv.org/abs/2405.15682
    """
    _averages("ScheduleFreeSGD: momentum", momentum)
    rate = _warmed(lr, warmup_steps)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, descend(rate), schedule_free(rate, momentum, r, weight_lr_power))


@optimizer
def ScheduleFreeAdamW(
    lr: float = 2.5e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    inner_momentum: float = 0.0,
) -> Chain:
    """AdamW with an average in place of its momentum and its schedule.

        v ← β₂v + (1-β₂)g²,  g = ∇f(y);    γ = η min(1, t / warmup_steps)
        z ← z - γ (g / (√v̂ + ε) + λy);   x ← (1-c)x + cz;   y ← β₁x + (1-β₁)z
        c = ω/Σω,  ω = tʳ (largest γ so far)^q

    Evaluate inside ``with opt.averaged(model):`` (x), never at the raw weights (y). The authors advise a rate 1 to 10
    times that of AdamW with a schedule, a warm-up, and β₁ = 0.95 or 0.98 for very long runs. ``inner_momentum``
    averages the gradient as well, as β₁ of AdamW does.

    Equal to the authors' present code: the decay is taken at y, and v is debiased where the paper's algorithm 1 folds
    the correction into γ. A step at η = 0 moves nothing, where theirs still averages.

    Reference: "The Road Less Scheduled", Aaron Defazio, Xingyu (Alice) Yang, Harsh Mehta, Konstantin Mishchenko,
    Ahmed Khaled, Ashok Cutkosky, 2024, https://arxiv.org/abs/2405.15682
    """
    beta1, beta2 = betas
    _averages("ScheduleFreeAdamW: betas[0]", beta1)
    rate = _warmed(lr, warmup_steps)
    rule = scale_by_adam(inner_momentum, beta2, eps) if inner_momentum else scale_by_debiased_rms(beta2, eps)
    return chain(
        rule, decay_weights(weight_decay), descend(rate), schedule_free(rate, beta1, r, weight_lr_power)
    )
