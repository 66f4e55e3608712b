"""Schedules that papers derive for a budget: of iterations, of tokens, of new data."""

from __future__ import annotations

from ._schedule import Count, Steps, schedule
from .shapes import between, half_cosine, part


@schedule(phi_must_not_be_negative=lambda phi: phi >= 0)
def uba(t: int, peak: float, steps: Steps, phi: float = 1.0, end: float = 0.0) -> float:
    """A family of decays for a budget of steps, told apart by how hard the curvature is thought to be.

        η = η_min + (η_max - η_min) 2(1 + cos θ) / (2φ + (2 - φ)(1 + cos θ)),    θ = πt/T

    φ = 2 is half a cosine, below 2 the rate stays up for longer (φ → 0: all along), above it falls sooner. Half way it
    is 2/(2 + φ) of the way. The authors tie φ to the condition number. For several cycles see :func:`repeat`.

    Not seen: the paper's own text of cycles of different lengths and of the values of φ it advises.

    Reference: "Stepsize anything: A unified learning rate schedule for budgeted-iteration training", Anda Tang, Yiming
    Dong, Yutao Zeng, Xun Zhou, Zhouchen Lin, 2025, https://arxiv.org/abs/2505.24452
    """
    u = half_cosine(part(t, steps))
    # at the very end u is 0, and for φ = 0 so is what it is divided by: the limit on the way there is 1
    return between(peak, end, 2 * u / (phi + (2 - phi) * u) if u or phi else 1.0)


@schedule(
    batch_and_tokens_and_a_must_be_positive=lambda batch, tokens, a: min(batch, tokens, a) > 0,
    b_must_be_negative=lambda b: b < 0,
)
def power(t: int, batch: float, tokens: float, peak: float = 0.02, a: float = 4.0, b: float = -0.51) -> float:
    """A power of the tokens trained on, which knows neither how long a run will be nor how large its batches are.

        η(n) = min(η_max, β a n^b)

    n: tokens seen with the step, of ``tokens`` each; β: ``batch``, in sequences. a, b and the largest rate are the
    authors' for matrices under muP (divide by the width over that of the model they were found at). They warm up and
    decay over the last tenth: ``times([power(…), wsd(1.0, …)])``, where in the cooldown theirs holds n.

    Reference: "Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler", Yikang Shen, Matthew
    Stallone, Mayank Mishra, Gaoyuan Zhang, Shawn Tan, Aditya Prasad, Adriana Meza Soria, David D. Cox, Rameswar Panda,
    2024, https://arxiv.org/abs/2408.13359, equations 7 and 8.
    """
    return min(peak, batch * a * ((t + 1) * tokens) ** b)


@schedule(
    warmup_must_be_under_steps=lambda warmup, steps: warmup < steps,
    end_is_a_share_of_the_peak_between_0_and_1=lambda end: 0 <= end <= 1,
)
def rewarm(t: int, peak: float, steps: Steps, warmup: Count, end: float = 0.1) -> float:
    """For a model that goes on with new data: up in a line over ``warmup``, half a cosine down to ``end`` of the peak
    at ``steps``, and on at that.

    The authors take the peak of pre-training again, 1 % of the new tokens to warm up (how many hardly mattered) and a
    tenth in the end. The loss rises at first, also on data like the old; a higher peak learns more of the new and
    forgets more of the old. From one long run at a constant rate no warm-up is needed: see :func:`wsd`.

    Reference: "Continual Pre-Training of Large Language Models: How to (re)warm your model?", Kshitij Gupta, Benjamin
    Thérien, Adam Ibrahim, Mats L. Richter, Quentin Anthony, Eugene Belilovsky, Irina Rish, Timothée Lesort, 2023,
    https://arxiv.org/abs/2308.04014
    """
    if t < warmup:
        return peak * t / warmup
    return between(peak, end * peak, half_cosine(part(t - warmup, steps - warmup)))
